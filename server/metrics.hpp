// What a worker counts, and how all workers' counts become one Prometheus page.
//
// Each worker has a shard that only its own thread writes: an increment is a relaxed load and
// store, without lock or shared cache line. Label sets come from the configuration and from fixed
// tables, never from what a client sent; counts go on over a reload, because cells belong to names
// and not to positions.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/attempt_loop.hpp"
#include "core/config.hpp"
#include "core/failure.hpp"
#include "core/fleet.hpp"
#include "core/time.hpp"
#include "server/metric_cells.hpp"

namespace spillway::server {

// One finished request that reached a model group.
struct RequestSample {
  GroupIndex group;                         // the one that was asked for, not a fallback
  int status = 200;                         // what the client saw, or would have seen; 499: it left
  std::optional<ErrorClass> error_class{};  // nullopt: success
  Duration total{};
  Duration overhead{};
  std::optional<Duration> time_to_first_token{};
  std::uint64_t prompt_tokens = 0;
  std::uint64_t completion_tokens = 0;
};

// How sharing with other instances goes (server/shared_state.hpp).
struct SharedStateCounts {
  bool connected = false;
  std::uint64_t errors = 0;     // outages, refused commands and messages that are not ours
  std::uint64_t published = 0;  // news told to others
  std::uint64_t received = 0;   // messages heard, our own among them
};

// The TLS listener's certificate (server/tls_listener.hpp).
struct CertificateCounts {
  std::uint64_t loaded = 0;     // times that one was read, the first included
  std::uint64_t failed = 0;     // times that it could not be
  std::int64_t expires_at = 0;  // of the one in use, in seconds since 1970
};

// How it goes between clients and gateway.
struct EdgeCounts {
  std::optional<CertificateCounts> certificate;  // nullopt: plain text
  std::size_t running = 0;                       // requests
  std::size_t waiting = 0;                       // requests, for their turn
  std::size_t stuck_workers = 0;
  std::size_t memory = 0;        // bytes, of the process
  std::size_t memory_limit = 0;  // bytes; 0: none
};

// How reading the configuration again goes (server/reloader.hpp).
struct ReloadCounts {
  std::uint64_t successes = 0;
  std::uint64_t failures = 0;
  bool last_failed = false;
  WallTime loaded_at{};  // the configuration in use
};

class MetricsShard {
 public:
  MetricsShard() = default;
  explicit MetricsShard(const Config& config) { use(config); }
  MetricsShard(const MetricsShard&) = delete;
  MetricsShard& operator=(const MetricsShard&) = delete;

  // --- on the worker's own thread ---
  // To be called before anything is counted for `config`, which must live until the next use().
  void use(const Config& config);

  void count_request(const Config& config, const RequestSample& sample);
  void count_attempts(const Config& config, std::span<const AttemptRecord> attempts);
  void count_rejected(int status);  // answered by the gateway itself, before any group was involved
  void count_hint(HintSource source);
  void count_dropped_events(std::uint64_t events);
  void count_recovered_stream();
  void count_client_disconnect();
  void count_tls_handshake(TlsHandshake handshake);
  void count_pool_opened();
  void count_pool_reused();
  void set_client_connections(std::uint64_t connections);
  void set_pool_connections(std::uint64_t idle, std::uint64_t busy);

  // --- on any thread ---
  void add_to(MetricTotals& totals) const;

 private:
  GroupCells& cells(const Config& config, GroupIndex group);
  DeploymentCells& cells(const Config& config, DeploymentIndex deployment);

  const Config* config_ = nullptr;             // what the two vectors belong to
  std::vector<GroupCells*> groups_;            // by GroupIndex
  std::vector<DeploymentCells*> deployments_;  // by DeploymentIndex
  ProcessCells process_;
  mutable std::mutex
      guard_;  // of the maps' shape, not of the counts; taken by use() and add_to() only
  std::map<std::string, std::unique_ptr<GroupCells>, std::less<>> group_cells_;
  std::map<std::pair<std::string, std::string>, std::unique_ptr<DeploymentCells>> deployment_cells_;
};

// The page in Prometheus' text format. Gauges about deployments are those of `config`, asked from
// `fleet`; `shared` only where instances share their state.
std::string render_metrics(const Config& config, std::span<const MetricsShard* const> shards,
                           Fleet& fleet, TimePoint now, std::string_view version,
                           const std::optional<SharedStateCounts>& shared = std::nullopt,
                           const EdgeCounts& edge = {},

                           const std::optional<ReloadCounts>& reloads = std::nullopt);

}  // namespace spillway::server
