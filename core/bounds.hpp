// Every limit that is not configuration, in one place, with its unit and its reason.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/time.hpp"

namespace spillway::bounds {

// --- JSON -------------------------------------------------------------------------------------
inline constexpr std::size_t kJsonDepth = 128;       // levels; deeper is an attack, not a chat
inline constexpr std::size_t kModelNameBytes = 512;  // longest real names are below 200

// --- A request's own settings -------------------------------------------------------------------
inline constexpr std::size_t kRequestFallbacks = 32;  // models named; more than anyone waits for
inline constexpr std::size_t kRequestTags = 64;
inline constexpr std::size_t kTagBytes = 256;
inline constexpr unsigned kRequestRetries = 100;  // as in the configuration; kAskAgain bounds more
inline constexpr Duration kRequestTimeout = std::chrono::hours(24);
inline constexpr std::size_t kAffinityEntries = 100'000;  // about 15 MB; the oldest make room
inline constexpr Duration kAffinityTtlCap = std::chrono::hours(30 * 24);  // that others may name
inline constexpr std::size_t kAffinityNews = 4096;  // untold ones; what is beyond is a cache miss
inline constexpr std::size_t kAffinityNewsBatch = 64;  // in one message, well below a reply's bytes
inline constexpr std::size_t kAffinityPrefixBytes = 4096;  // the least that providers cache

// --- HTTP -------------------------------------------------------------------------------------
inline constexpr std::size_t kTargetBytes = 8192;  // RFC 9112 section 3 asks for at least 8000
inline constexpr std::size_t kChunkExtensionBytes = 256;      // of one chunk; nobody uses them
inline constexpr std::size_t kChunkExtensionsTotal = 4096;    // of one body
inline constexpr std::size_t kTrailerBytes = 8192;            // read past and dropped
inline constexpr std::size_t kUpstreamHeadBytes = 64 * 1024;  // head of a provider's response
inline constexpr std::size_t kInterimResponses = 8;           // 1xx before a final status
inline constexpr Duration kTlsHandshake = seconds(10);        // of a client, from its connecting
inline constexpr Duration kTlsFilesLook = seconds(1);  // how often certificates are looked after
// Session tickets are good for a full handshake less, and their keys are a secret in memory.
inline constexpr Duration kTlsTicketKeys = std::chrono::hours(8);
inline constexpr std::size_t kQueueMost = 10'000;     // requests that may wait, each with its body
inline constexpr std::size_t kAdminConnections = 64;  // scrapers, probes and people
inline constexpr Duration kAdminPatience = seconds(1);  // with silent ones, while others wait
inline constexpr std::size_t kRequestIdBytes = 128;  // a client's x-request-id is kept up to this

// --- Answers ----------------------------------------------------------------------------------
inline constexpr std::size_t kHeldAnswerBytes =
    8 * 1024 * 1024;                                           // plain answers held until complete
inline constexpr std::size_t kHeldWhenShortBytes = 64 * 1024;  // the same while memory is short
inline constexpr std::size_t kErrorBodyBytes = 64 * 1024;      // of an upstream error that is read
inline constexpr std::size_t kErrorMessageBytes = 4096;        // of it that a caller is shown
inline constexpr std::size_t kEventBytes = 64 * 1024;          // largest SSE event that is judged
inline constexpr std::size_t kEventPatternBytes = 1024;        // of one that is compared with
inline constexpr std::size_t kEventBytesUnjudged =
    32 * 1024 * 1024;  // largest that is relayed at all
inline constexpr std::uint64_t kUsageTokens =
    1'000'000'000'000;  // that one answer may claim: sums of them do not wrap
inline constexpr std::size_t kHeldStreamBytes = 64 * 1024;  // held before the first content

inline constexpr std::size_t kResumableBodyBytes = 256 * 1024;  // of a request kept for recovery
inline constexpr std::size_t kResumableTextBytes = 64 * 1024;   // of its answer that was sent

// --- Memory (spillway.limits.memory) ------------------------------------------------------------
inline constexpr double kMemoryShedding = 0.90;  // of the limit, before idle connections go
inline constexpr double kMemoryRefusing = 0.95;  // and before new requests are refused
inline constexpr double kMemoryRelief = 0.05;    // of the limit, below both, before they end
inline constexpr double kMemoryOfCgroup = 0.85;  // of its limit; the rest is the kernel's buffers
inline constexpr Duration kMemoryLook = milliseconds(100);  // a read of /proc costs microseconds
inline constexpr Duration kMemoryTrim = seconds(1);         // between two returns of freed memory
inline constexpr Duration kMemoryNews = minutes(1);         // between two warnings that it is short

// --- Logs -------------------------------------------------------------------------------------
inline constexpr std::size_t kAccessLogQueue = 4096;  // lines; a tenth of a second at full load
inline constexpr std::size_t kLogQueue = 512;         // lines of the program's own log
inline constexpr Duration kLogDrain = seconds(1);     // for queued lines when the program ends

// --- Failure handling -------------------------------------------------------------------------
inline constexpr Duration kHintCap = seconds(300);        // an upstream may not bench itself longer
inline constexpr Duration kCooldownDefault = seconds(5);  // a 429 without a hint
inline constexpr Duration kCooldownCap = seconds(300);    // doubling stops here
inline constexpr Duration kQuotaCooldown = minutes(10);   // quota errors heal slowly
inline constexpr Duration kCredentialCooldown =
    seconds(60);  // 401/403/404 about the credential or model
inline constexpr Duration kBreakerBase = seconds(5);
inline constexpr Duration kBreakerCap = seconds(15);
inline constexpr unsigned kBreakerConsecutive = 3;      // failures in a row that open it
inline constexpr unsigned kBreakerMinimumRequests = 5;  // in the window, before the ratio counts
inline constexpr Duration kBreakerWindow = seconds(60);
inline constexpr Duration kBackoffBase = milliseconds(500);
inline constexpr Duration kBackoffCap = seconds(8);
inline constexpr unsigned kAskAgain = 5;      // of one deployment by one request, at most
inline constexpr unsigned kJitteredAsks = 3;  // of these; the rest wait for the whole backoff
inline constexpr Duration kRetryBudgetWindow = seconds(10);
inline constexpr double kRetryBudgetShare = 0.2;    // of the group's requests in the window
inline constexpr unsigned kRetryBudgetMinimum = 3;  // at once, however quiet the group is
inline constexpr double kHedgesSaved = 10.0;        // at once after quiet times, at most
inline constexpr double kCooldownJitter = 0.05;     // share added, so that instances spread out
inline constexpr Duration kProbePoll =
    milliseconds(10);  // how often a request waiting for a probe looks

// --- Balancing --------------------------------------------------------------------------------
inline constexpr std::size_t kDraws = 64;  // in vain, before all of a larger group are looked at
inline constexpr std::size_t kBottomDraws = 8;  // the same, of those that may not have the least
inline constexpr Duration kRateWindow = seconds(60);  // what rpm and tpm are limits of
inline constexpr std::size_t kTokenBytes = 4;         // of a request's body for one token, roughly
inline constexpr std::size_t kReservedTokens = 4096;  // for one call, at most: pictures are long
inline constexpr std::size_t kLatencySamples = 10;    // latency-based-routing's, as in LiteLLM
inline constexpr std::size_t kQuantileSamples = 64;   // for a p95; 1 KiB a deployment and delivery
inline constexpr std::size_t kQuantileLeast = 20;     // fewer tell no p95
inline constexpr Duration kLoadMemory = seconds(60);  // after it times and errors fade to a third
inline constexpr Duration kSlowStart = seconds(20);   // from a trickle to the full share again
inline constexpr double kSlowStartShare = 0.1;        // the trickle
inline constexpr Duration kHeadroomMemory = seconds(60);  // providers' limits are by the minute
inline constexpr double kLowHeadroom = 0.2;               // below it a deployment is spared
inline constexpr double kLeastHeadroom = 0.001;           // spared most, but still comparable

// --- Shared state -----------------------------------------------------------------------------
// Longest bench that another instance is believed: as long as cooldown_time may be configured.
inline constexpr Duration kSharedBenchCap = seconds(30 * 24 * 3600);
inline constexpr unsigned kSharedFailedProbes = 64;  // doubling stopped long before
// Adopted benches end at least this far apart: longer than the news of a probe takes.
inline constexpr Duration kAdoptedJitterLeast = milliseconds(50);
inline constexpr Duration kProbeLease = seconds(30);  // an instance that dies probing is waited for
// What requests wait for an instance's share of rpm and tpm, at most: a Redis that takes longer is
// not asked again until it is quick.
inline constexpr Duration kLeasePatience = milliseconds(200);
inline constexpr Duration kLeaseLength = seconds(5);   // an instance that dies holds its share on
inline constexpr Duration kLeaseRenewal = seconds(1);  // well within the length
inline constexpr Duration kLeasePause = milliseconds(5);  // between two statements, however urgent
inline constexpr Duration kLeaseWish = milliseconds(50);  // waiting requests come back before that
inline constexpr std::int64_t kStandingLeaseShare = 10;   // part of a limit held ahead of need
inline constexpr std::uint64_t kLeaseMost = 1'000'000'000'000;  // a Redis script counts in doubles
// A bench is known this long after its end, and as long as anybody still holds it.
inline constexpr Duration kHalfOpenMemory = seconds(30);
inline constexpr std::size_t kRedisReplyBytes = 64 * 1024;  // the longest real one is a record
inline constexpr std::size_t kRedisReplyItems = 64;         // of one array
inline constexpr std::size_t kRedisBatch = 64;              // commands under way at once
inline constexpr Duration kRedisTimeout = seconds(2);       // to connect, or for a batch's replies
inline constexpr Duration kRedisHeartbeat = seconds(5);     // and how often benches are said again
inline constexpr Duration kRedisSilence = seconds(15);      // of the subscription: it is dead
inline constexpr Duration kRedisBackoffBase = milliseconds(250);  // before connecting again
inline constexpr Duration kRedisBackoffCap = seconds(5);

}  // namespace spillway::bounds
