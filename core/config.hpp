// The configuration: one immutable value, made by config/ from text, providers and environment,
// shared by all workers until the next reload. Everything here is resolved: no environment names,
// no provider lookups left.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/by_name.hpp"
#include "core/endpoint.hpp"
#include "core/error_class.hpp"
#include "core/read_keys.hpp"
#include "core/secret.hpp"
#include "core/time.hpp"

namespace spillway {

// Positions in Config::deployments and Config::groups; strong so that they cannot be swapped.
struct DeploymentIndex {
  std::uint32_t value = 0;
  auto operator<=>(const DeploymentIndex&) const = default;
};
struct GroupIndex {
  std::uint32_t value = 0;
  auto operator<=>(const GroupIndex&) const = default;
};

// Where connections go. Two deployments with equal origins share pooled connections.
struct Origin {
  bool tls = true;
  std::string host;  // lower case, no brackets
  std::uint16_t port = 443;
  std::string ca_file;  // PEM; empty: the system's store
  auto operator<=>(const Origin&) const = default;
};

// A header added to every upstream request of a deployment. The value may be a credential.
struct UpstreamHeader {
  std::string name;  // lower case
  Secret value;
  bool operator==(const UpstreamHeader&) const = default;
};

// Changes a deployment makes to a request body, all done as splices (core/splice.hpp).
struct BodyRules {
  // providers.json param_mappings: a top-level key is renamed, unless the new name is already
  // there.
  std::vector<std::pair<std::string, std::string>> rename;
  // litellm_params extras and others the deployment sets: name -> JSON text; the request's own
  // value wins.
  std::vector<std::pair<std::string, std::string>> defaults;
  // name -> JSON text that replaces whatever the request says (force_store_false: store -> false,
  // responses only).
  std::vector<std::pair<std::string, std::string>> force;
  // Top-level keys removed (drop_params with the provider's unsupported ones,
  // additional_drop_params).
  std::vector<std::string> drop;
  std::optional<double> temperature_max;
  std::optional<double> temperature_min;
  std::optional<double> temperature_min_with_n_gt_1;
  bool content_list_to_string = false;  // special_handling.convert_content_list_to_string
  bool operator==(const BodyRules&) const = default;
};

// LiteLLM's allowed_fails_policy: failures tolerated, by class. nullopt: not set.
using AllowedFailsPolicy = std::array<std::optional<unsigned>, kErrorClassCount>;

// How failures bench a deployment; router_settings with the deployment's own values laid over.
struct CooldownRules {
  std::optional<Duration>
      cooldown_time;  // replaces the default (not the hint's maximum); 0: never cools
  std::optional<unsigned> allowed_fails;  // N tolerated, the N+1st cools
  AllowedFailsPolicy allowed_fails_policy{};
  bool disabled = false;  // disable_cooldowns
  bool operator==(const CooldownRules&) const = default;
};

struct Deployment {
  std::string id;  // model_info.id, else a hash of group and parameters: stable across instances
  GroupIndex group;
  std::string provider;  // providers.json slug, or "openai" for a bare api_base
  Origin origin;
  std::vector<UpstreamHeader> headers;  // authorization and whatever the configuration adds
  BodyRules body;
  CooldownRules cooldown;
  std::vector<std::string> tags;
  std::optional<unsigned> num_retries;
  bool assistant_prefill = false;  // can continue an assistant prefix

  // Not empty: cannot be used, and why ("GROQ_API_KEY is not set"). It is in the table and in
  // /health only.
  std::string unusable;

  // From here on lies together what every choice of a deployment reads: with many of them it is
  // seldom in the caches.
  std::string model;    // upstream name; each '*' is replaced by what the group's pattern captured
  double weight = 1.0;  // for the weighted shuffle; 0: only if nothing is left
  bool weighted = false;                 // the entry said so (weight, else rpm, else tpm)
  std::optional<double> cost_per_token;  // of input and output together; only for comparing
  std::optional<std::uint64_t> max_input_tokens;
  std::optional<Duration> timeout;         // bounds one attempt
  std::optional<Duration> stream_timeout;  // to the first token of a stream
  std::optional<std::uint64_t> rpm, tpm;
  std::optional<unsigned> max_parallel_requests;
  std::optional<int> order;  // lower tiers first; deployments without one come last
  // Request target by endpoint: "/v1/chat/completions"; may hold "{model}" (azure deployments URL),
  // replaced by the percent-encoded upstream model. Empty: the endpoint is not offered by this
  // deployment.
  std::array<std::string, kEndpointCount> targets;

  bool usable() const { return unusable.empty(); }
};

// What a request's model name led to: a group and, for a wildcard group, the text each '*' stood
// for.
struct ModelMatch {
  GroupIndex group;
  std::vector<std::string> captures;
  std::optional<DeploymentIndex> deployment{};  // the name was this one's id: nobody else is asked
  bool operator==(const ModelMatch&) const = default;
};

// LiteLLM's retry_policy: how often a class is asked again, in place of num_retries. nullopt: not
// set.
using RetryPolicy = std::array<std::optional<unsigned>, kErrorClassCount>;

struct ModelGroup {
  std::string name;  // model_name as configured; for wildcards the pattern ("groq/*")
  bool wildcard = false;
  std::vector<DeploymentIndex> deployments;  // usable ones only, in configuration order
  std::vector<DeploymentIndex> left_out;     // unusable ones
  // Resolved at load, in order; default_fallbacks already appended to `fallbacks` of groups without
  // their own.
  std::vector<ModelMatch> fallbacks;
  std::optional<std::vector<ModelMatch>>
      context_window_fallbacks;  // nullopt: not configured for this group
  std::vector<ModelMatch> content_policy_fallbacks;
  unsigned num_retries = 2;
  RetryPolicy retry_policy{};
};

enum class TagMatch : std::uint8_t { any, all };

// Which requests stay with the deployment that answered the one before (core/affinity.hpp).
struct AffinityRules {
  bool session = false;        // of one session id
  bool client_key = false;     // of one client key
  bool prompt_prefix = false;  // with the same long beginning of their messages
  Duration ttl = seconds(3600);
  bool operator==(const AffinityRules&) const = default;
};

enum class RoutingStrategy : std::uint8_t {
  simple_shuffle,
  least_busy,
  usage_based,
  latency_based,
  cost_based,
  adaptive,
};

// When a second deployment is asked because the first is slow to begin, and how often at most.
struct HedgeRules {
  std::optional<Duration> after;  // nullopt: the deployment's own p95
  double share = 0.1;             // of a group's requests
  bool operator==(const HedgeRules&) const = default;
};

struct RouterSettings {
  RoutingStrategy strategy = RoutingStrategy::simple_shuffle;
  double lowest_latency_buffer = 0.0;      // latency-based: share above the lowest that is as good
  Duration latency_ttl = seconds(3600);    // latency-based: older times are forgotten
  bool enforce_model_rate_limits = false;  // rpm and tpm are limits whatever the strategy
  unsigned max_attempts = 8;
  unsigned max_fallbacks = 5;
  Duration max_wait = seconds(5);
  bool failover = true;
  Duration retry_after{};  // LiteLLM's minimum sleep before a retry
  double retry_budget_share = 0.2;
  std::optional<HedgeRules> hedge;
  Duration timeout = seconds(600);  // one attempt
  std::optional<Duration> stream_timeout;
  std::optional<TagMatch> tag_filtering;  // enable_tag_filtering, tag_filtering_match_any
  bool pre_call_checks = false;           // pass by windows that a request is known not to fit
  AffinityRules affinity;
  bool operator==(const RouterSettings&) const = default;

  // Whether a deployment's rpm and tpm are limits, not only weights or nothing: as in LiteLLM, to
  // the strategies that look at use, time or cost.
  bool rates_are_limits() const {
    return enforce_model_rate_limits || strategy == RoutingStrategy::usage_based ||
           strategy == RoutingStrategy::latency_based || strategy == RoutingStrategy::cost_based;
  }
};

struct Timeouts {
  Duration connect = seconds(5);     // resolve, TCP and TLS together
  Duration head = seconds(10);       // a client's request head
  Duration body = seconds(60);       // a client's request body
  Duration keepalive = seconds(75);  // an idle client connection
  Duration stream_idle = seconds(300);
  std::optional<Duration> total;  // all attempts before the first token
  Duration drain = seconds(30);
  Duration drain_delay{};  // before it: not ready any more, but still accepting
  bool operator==(const Timeouts&) const = default;
};

struct Limits {
  std::size_t body = 32 * 1024 * 1024;  // bytes
  std::size_t head = 64 * 1024;         // bytes
  std::size_t headers = 100;            // fields
  std::size_t connections = 0;          // 0: half of the descriptor limit
  std::size_t concurrent_requests = 0;  // 0: not limited
  std::size_t queue = 0;                // requests that wait for their turn; 0: they are refused
  Duration queue_timeout = seconds(5);
  std::optional<std::size_t>
      memory;  // bytes; nullopt: what the machine's cgroup allows, if it does
  bool operator==(const Limits&) const = default;
};

enum class TlsVersion : std::uint8_t { v1_2, v1_3 };

// A file that a setting names, and where the setting stands, for messages about the file. Equal are
// those that name the same file.
struct NamedFile {
  std::string path;
  std::string setting{};  // "config.yaml:7:12: spillway.tls.key"
  bool empty() const { return path.empty(); }
  bool operator==(const NamedFile& other) const { return path == other.path; }
};

// How clients are spoken to where they are to be encrypted. Files are PEM, and read again whenever
// they change.
struct TlsSettings {
  NamedFile certificate;  // the server's own first, then what leads to a root
  NamedFile key;
  NamedFile client_ca;  // whose certificates clients must show; empty: none is asked for
  TlsVersion min_version = TlsVersion::v1_2;
  bool operator==(const TlsSettings&) const = default;
};

// Where the pages for operators are served, apart from the models.
struct AdminSettings {
  std::string listen_host;        // no brackets
  std::uint16_t listen_port = 0;  // 0: any free one
  bool operator==(const AdminSettings&) const = default;
};

struct ClientKey {
  std::string name;  // alias for the log: "master", or what the configuration calls it
  Secret key;
};

enum class AccessLogFormat : std::uint8_t { json, logfmt, off };

struct AccessLog {
  AccessLogFormat format = AccessLogFormat::json;
  double sample = 1.0;  // share of the successful requests that is written; failures always are
  NamedFile file{};     // empty: the standard output
};

// Proxies for upstream calls (HTTPS_PROXY, HTTP_PROXY, NO_PROXY), as read from the environment.
struct ProxySettings {
  std::string https_proxy;  // "http://host:port", credentials allowed; empty: none
  std::string http_proxy;
  std::vector<std::string> no_proxy;  // hosts, ".suffix" or "*", lower case
};

// Where instances share their benches: a Redis, Valkey or whatever speaks their protocol.
struct RedisSettings {
  std::string host;  // a name or an address, no brackets
  std::uint16_t port = 6379;
  bool tls = false;
  std::string ca_file;  // PEM; empty: the system's store
  std::string user;     // empty: the default one
  Secret password;      // empty: none is shown
  unsigned database = 0;
  bool operator==(const RedisSettings&) const = default;
};

struct Config {
  std::string listen_host = "127.0.0.1";
  std::uint16_t listen_port = 4000;
  std::optional<AdminSettings> admin;  // nullopt: its pages are where the models are
  unsigned threads = 0;                // 0: one per core
  std::vector<ClientKey> keys;         // empty: no key wanted
  std::vector<std::string> cors_origins;
  std::optional<TlsSettings> tls;  // nullopt: plain text
  Limits limits;
  Timeouts timeouts;
  RouterSettings router;
  Duration stream_keepalive = seconds(15);
  bool stream_recovery = true;
  AccessLog access_log;
  bool metrics = true;
  bool reload_on_change = true;  // of the files it was read from; SIGHUP reloads in any case
  bool litellm_headers = false;  // x-litellm-* response headers beside our own
  ProxySettings proxy;
  std::optional<RedisSettings> redis;  // nullopt: this instance is alone

  std::vector<Deployment> deployments;
  std::vector<ModelGroup> groups;
  ByName<GroupIndex> exact_names;                           // model_name -> group; not wildcards
  std::map<std::string, std::string, std::less<>> aliases;  // model_group_alias, visible or hidden
  std::vector<std::string> hidden_aliases;                  // not listed by /v1/models
  // model_info.id -> deployment; not those behind a wildcard, whose model only a name tells.
  ByName<DeploymentIndex> deployment_ids;
  std::vector<GroupIndex> wildcards;  // most specific first
  // For whatever has no fallbacks of its own: deployments called by id, and unknown models.
  std::vector<ModelMatch> default_fallbacks;
  // Top-level body keys that Spillway or a deployment's BodyRules read (core/body.hpp).
  ReadKeys read_keys;

  const Deployment& at(DeploymentIndex i) const { return deployments[i.value]; }
  const ModelGroup& at(GroupIndex i) const { return groups[i.value]; }
};

// The group that a requested model name leads to: alias, exact name, a deployment's id, then the
// most specific wildcard. nullopt: unknown model. Pure; does not allocate for exact names.
std::optional<ModelMatch> find_model(const Config& config, std::string_view requested);

// `pattern` with each '*' replaced by the next capture. A pattern without '*' is returned as it is.
std::string substitute(std::string_view pattern, const std::vector<std::string>& captures);

}  // namespace spillway
