// One thread, its event loop, and everything a request needs that is not shared: the upstream pool,
// the DNS cache, TLS sessions, randomness, metrics. A client connection lives its whole life on one
// worker, so nothing here is locked.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <unordered_set>

#include "core/random.hpp"
#include "server/asio.hpp"
#include "server/connection_pool.hpp"
#include "server/deadline.hpp"
#include "server/read_buffer.hpp"
#include "server/request_memory.hpp"
#include "server/resolver.hpp"
#include "server/routes.hpp"
#include "server/snapshot.hpp"
#include "server/tls_client.hpp"
#include "server/worker_loop.hpp"

namespace spillway::server {

class Gateway;
class MetricsShard;
class Session;

class Worker {
 public:
  Worker(Gateway& gateway, Audience audience);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // --- from any thread ---
  void adopt(Descriptor socket);   // a new client connection, from now on this worker's
  void use(SnapshotPtr snapshot);  // for requests that begin from now on
  // The process is about to end, in stages. Connections end with their next answer, which says so,
  // and new ones are still served. Readiness fails, unless a successor takes over.
  enum class Leaving : std::uint8_t { for_good, replaced };
  void leave(Leaving why);
  void drain();  // close idle clients, end the others after their answer
  void cut();    // the grace period is over: close everything
  void shed();   // memory is short: close what is idle
  // Somebody waits to be let in: closes whoever has been silent longest, and for kAdminPatience.
  void make_room();
  // Asks the thread for a sign of life, and tells whether it has failed to give one for long: it
  // does not come back to its event loop. To be called once a second, by one thread.
  bool looks_stuck();
  bool stuck() const { return silent_looks_.load(std::memory_order_relaxed) >= kStuckLooks; }
  std::size_t connections() const { return connections_.load(std::memory_order_relaxed); }
  void run();  // the thread's main function

  // --- on the worker's own thread ---
  // The time at which the coroutine's turn first asked: a request asks some twenty times, and each
  // look at the clock costs as much as a hundred instructions.
  static TimePoint now();
  static WallTime wall_now();
  // The time, which now() gives from here on for the rest of the turn. For where waiting begins,
  // and for what the gateway itself took.
  static TimePoint now_anew();
  const std::string& http_date();  // the Date header's value, made once a second
  WorkerLoop& loop() { return loop_; }
  DeadlineQueue& deadlines() { return loop_.deadlines(); }
  ReadBuffer& read_buffer() { return *read_buffer_; }
  RequestMemory& request_memory() { return request_memory_; }
  ConnectionPool& pool() { return pool_; }
  Resolver& resolver() { return resolver_; }
  TlsClient& tls() { return tls_; }
  Random& random() { return random_; }
  MetricsShard& metrics() { return *metrics_; }
  const SnapshotPtr& snapshot() const { return snapshot_; }
  Gateway& gateway() { return gateway_; }
  Audience audience() const { return audience_; }
  bool ready() const { return ready_; }
  bool leaving() const { return leaving_; }
  bool draining() const { return draining_; }
  std::string make_request_id();
  void count_connection(bool reused);
  // Upstream calls under way, for the pool's gauge.
  void upstream_call_begun() { ++busy_upstreams_; }
  void upstream_call_ended() { --busy_upstreams_; }

 private:
  static constexpr unsigned kStuckLooks = 5;  // no request takes a core for as many seconds

  void begin(Descriptor socket);
  Awaitable<void> serve(Descriptor socket);
  class Attended;
  void connection_ended();
  void keep_house();
  void stop_when_empty();

  Gateway& gateway_;
  const Audience audience_;  // of all its connections
  WorkerLoop loop_;
  std::unique_ptr<ReadBuffer> read_buffer_ = std::make_unique<ReadBuffer>();
  RequestMemory request_memory_;
  ConnectionPool pool_{loop_};
  Resolver resolver_{loop_.io(), &Worker::now};
  TlsClient tls_;
  Random random_;
  std::unique_ptr<MetricsShard> metrics_;
  SnapshotPtr snapshot_;
  std::unordered_set<Session*> sessions_;
  std::atomic<std::size_t> connections_{
      0};                              // accepted and not yet ended, those under way to us included
  std::atomic<bool> gave_sign_{true};  // of life, since it was asked last
  std::atomic<unsigned> silent_looks_{0};  // in a row
  Deadline housekeeping_{loop_.deadlines(), [this] { keep_house(); }};
  std::string date_;
  std::int64_t date_second_ = -1;
  std::uint64_t busy_upstreams_ = 0;
  bool ready_ = true;
  bool leaving_ = false;
  bool draining_ = false;
};

}  // namespace spillway::server
