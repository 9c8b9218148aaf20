// What the attempt loop is told and what it wants done: the vocabulary between
// core/attempt_loop.hpp and its driver.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "core/config.hpp"
#include "core/failure.hpp"
#include "core/health.hpp"
#include "core/stream_transcript.hpp"
#include "core/time.hpp"

namespace spillway {

// How much of the answer is out. Failover is free before the first commit point, possible until the
// second, and over after it.
enum class CommitPoint : std::uint8_t {
  nothing_sent,
  head_sent,     // the status can no longer change: a final failure is an event of the stream
  content_sent,  // what was sent cannot be taken back: another may only continue it exactly
};

namespace attempt {

// Two calls of a request may be under way at once: the first, and the one that hedges it.
enum class Leg : std::uint8_t { first, hedge };
inline constexpr std::size_t kLegs = 2;

// --- events: what happened -----------------------------------------

struct Begin {};
// The upstream began to answer with a success; the retry budget is given back.
struct HeadArrived {
  Leg leg = Leg::first;
};
// Comments kept a waiting client's stream open: the first commit point.
struct HeadSent {};
// First content of a call's stream is about to be relayed: the second commit point, if not both at
// once. The other leg, if under way, has lost: cancel it.
struct ContentStarted {
  Leg leg = Leg::first;
};
// The whole answer was relayed, or a plain answer is complete. The other leg has lost, as above.
struct Completed {
  Leg leg = Leg::first;
};
struct Failed {
  Failure failure;
  // After content was sent: another deployment could continue the stream exactly.
  bool resumable = false;
  Leg leg = Leg::first;
  // The request allows that this is done from a prefix (core/continuation.hpp).
  bool by_prefix = true;
  // A call with Resume::prefix: it may have begun the answer anew, and nothing of it was sent.
  bool begun_anew = false;
};
// A reused connection closed before any response byte: not the deployment's fault.
struct StaleConnection {
  Leg leg = Leg::first;
};
// Call::hedge_at has come, and the first leg has neither failed nor shown any content.
struct HedgeDue {};
// The Wait is over.
struct TimerFired {};
using Event = std::variant<Begin, HeadArrived, HeadSent, ContentStarted, Completed, Failed,
                           StaleConnection, HedgeDue, TimerFired>;

// --- actions: what to do -------------------------------------------

// Make a call. `deadline` bounds it: to the complete plain answer, or to a stream's first token.
struct Call {
  DeploymentIndex deployment;
  std::string upstream_model;
  TimePoint deadline;
  enum class Connection : std::uint8_t { pooled, fresh } connection = Connection::pooled;
  bool client_deadline = false;  // the deadline is one the client asked for
  Resume resume = Resume::no;    // to go on with a stream whose content was sent already
  Leg leg = Leg::first;
  std::optional<TimePoint> hedge_at{};  // report HedgeDue then
};
// Then report TimerFired.
struct Wait {
  TimePoint until;
};
// Nothing to decide: go on with what is under way.
struct Continue {};
// The request is over, successfully.
struct Finish {};
// Answer the client with this: with its status while nothing is sent, else as the stream's end. At
// most one of the last two is set.
struct GiveUp {
  Failure failure;
  CommitPoint committed = CommitPoint::nothing_sent;
  std::optional<Duration> retry_after;  // whole recovery time of the soonest deployment
  bool should_not_retry = false;        // x-should-retry: false
};
using Action = std::variant<Call, Wait, Continue, Finish, GiveUp>;

}  // namespace attempt

// One entry per finished attempt, for the access log and the metrics.
struct AttemptRecord {
  DeploymentIndex deployment;
  std::optional<ErrorClass> error_class;  // nullopt: success, or outrun
  HealthChange change = HealthChange::none;
  Duration took{};
  attempt::Leg leg = attempt::Leg::first;
  bool outrun = false;  // the other leg answered first, and this one was cancelled
};

}  // namespace spillway
