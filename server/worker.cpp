#include "server/worker.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <new>

#include "core/ascii.hpp"
#include "server/event_loop.hpp"
#include "server/gateway.hpp"
#include "server/log.hpp"
#include "server/metrics.hpp"
#include "server/session.hpp"

namespace spillway::server {

namespace {

constexpr Duration kHousekeeping = seconds(5);

template <typename Clock>
struct Reading {
  std::uint64_t turn = 0;
  typename Clock::time_point time{};
};
template <typename Clock>
constinit thread_local Reading<Clock> reading;

template <typename Clock>
typename Clock::time_point read_anew() {
  reading<Clock> = {coroutine_turn(), Clock::now()};
  return reading<Clock>.time;
}

// Callbacks that are no coroutine's look for themselves.
template <typename Clock>
typename Clock::time_point time_of_turn() {
  const std::uint64_t turn = coroutine_turn();
  return turn != 0 && reading<Clock>.turn == turn ? reading<Clock>.time : read_anew<Clock>();
}

void tell_failure(const std::exception& error) noexcept try {
  log_error(fmt::format("a session failed: {}", error.what()));
} catch (const std::bad_alloc&) {
}

}  // namespace

// A session that is among the worker's for as long as this is.
class Worker::Attended {
 public:
  Attended(Worker& worker, Session& session) : worker_(worker), session_(session) {
    worker_.sessions_.insert(&session_);
    tell_count();
  }
  ~Attended() {
    worker_.sessions_.erase(&session_);
    tell_count();
  }
  Attended(const Attended&) = delete;
  Attended& operator=(const Attended&) = delete;

 private:
  void tell_count() { worker_.metrics_->set_client_connections(worker_.sessions_.size()); }

  Worker& worker_;
  Session& session_;
};

Worker::Worker(Gateway& gateway, Audience audience)
    : gateway_(gateway),
      audience_(audience),
      random_(seeded_random()),
      metrics_(std::make_unique<MetricsShard>()) {}

Worker::~Worker() {
  resolver_.close();
  loop_.destroy();
}

void Worker::run() {
  housekeeping_.arm(now() + kHousekeeping);
  run_event_loop([this] { loop_.run(); });
  gateway_.worker_ended(audience_);
}

void Worker::use(SnapshotPtr snapshot) {
  loop_.post([this, snapshot = std::move(snapshot)] {
    metrics_->use(snapshot->config);
    snapshot_ = snapshot;
    tls_.forget_named_authorities();  // their files may have changed
  });
}

void Worker::adopt(Descriptor socket) {
  connections_.fetch_add(1, std::memory_order_relaxed);
  try {
    loop_.post([this, socket = std::move(socket)]() mutable { begin(std::move(socket)); });
  } catch (const std::bad_alloc&) {
    connections_.fetch_sub(1, std::memory_order_relaxed);
  }
}

// What is thrown, here or in serve(), costs this connection and no other.
void Worker::begin(Descriptor socket) {
  try {
    spawn(serve(std::move(socket)));
  } catch (const std::exception& error) {
    connection_ended();
    log_error(fmt::format("a session cannot begin: {}", error.what()));
  }
}

Awaitable<void> Worker::serve(Descriptor socket) {
  try {
    Session session(*this, std::move(socket));
    const Attended attended(*this, session);
    co_await session.run();
  } catch (const std::exception& error) {
    tell_failure(error);
  }
  connection_ended();
}

void Worker::connection_ended() {
  connections_.fetch_sub(1, std::memory_order_relaxed);
  stop_when_empty();
}

void Worker::keep_house() {
  pool_.sweep(now());
  metrics_->set_pool_connections(pool_.idle(), busy_upstreams_);
  housekeeping_.arm(now() + kHousekeeping);
}

bool Worker::looks_stuck() {
  if (gave_sign_.exchange(false, std::memory_order_relaxed)) {
    silent_looks_.store(0, std::memory_order_relaxed);
    try {
      loop_.post([this] { gave_sign_.store(true, std::memory_order_relaxed); });
    } catch (const std::bad_alloc&) {  // not the worker's fault
      gave_sign_.store(true, std::memory_order_relaxed);
    }
  } else {
    silent_looks_.fetch_add(1, std::memory_order_relaxed);
  }
  return stuck();
}

void Worker::leave(Leaving why) {
  loop_.post([this, why] {
    leaving_ = true;
    if (why == Leaving::for_good) ready_ = false;
  });
}

void Worker::drain() {
  loop_.post([this] {
    leaving_ = draining_ = true;
    for (Session* session : sessions_) session->close_if_idle();
    stop_when_empty();
  });
}

// Asked for again at the next look if there is not even the memory for that.
void Worker::shed() try {
  loop_.post([this] {
    pool_.clear();
    for (Session* session : sessions_) session->close_if_kept();
    release_coroutine_memory();
  });
} catch (const std::bad_alloc&) {
}

// Asked for again as long as somebody waits.
void Worker::make_room() try {
  loop_.post([this] {
    const auto longest = std::ranges::min_element(sessions_, {}, &Session::silent_since);
    if (longest == sessions_.end()) return;
    const TimePoint since = (*longest)->silent_since();
    if (since != TimePoint::max() && now() - since >= bounds::kAdminPatience)
      (*longest)->make_room();
  });
} catch (const std::bad_alloc&) {
}

void Worker::cut() {
  loop_.post([this] {
    for (Session* session : sessions_) session->close();
  });
}

void Worker::stop_when_empty() {
  if (!draining_ || connections() > 0) return;
  pool_.clear();
  loop_.stop();
}

const std::string& Worker::http_date() {
  const auto second =
      std::chrono::duration_cast<std::chrono::seconds>(wall_now().time_since_epoch()).count();
  if (second != date_second_) {
    date_second_ = second;
    date_ =
        fmt::format("{:%a, %d %b %Y %H:%M:%S GMT}", fmt::gmtime(static_cast<std::time_t>(second)));
  }
  return date_;
}

TimePoint Worker::now() {
  return time_of_turn<std::chrono::steady_clock>();
}

TimePoint Worker::now_anew() {
  return read_anew<std::chrono::steady_clock>();
}

WallTime Worker::wall_now() {
  return time_of_turn<std::chrono::system_clock>();
}

std::string Worker::make_request_id() {
  constexpr std::string_view kPrefix = "req_";
  std::string id(kPrefix.size() + 32, '\0');
  char* at = std::ranges::copy(kPrefix, id.data()).out;
  for (int half = 0; half < 2; ++half) {
    const std::uint64_t bits = random_();
    for (int shift = 56; shift >= 0; shift -= 8)
      at = std::ranges::copy(ascii::kHexPairs[bits >> shift & 0xFF], at).out;
  }
  return id;
}

void Worker::count_connection(bool reused) {
  if (reused)
    metrics_->count_pool_reused();
  else
    metrics_->count_pool_opened();
}

}  // namespace spillway::server
