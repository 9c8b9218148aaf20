#include "server/worker.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <boost/asio/post.hpp>

#include "server/event_loop.hpp"
#include "server/gateway.hpp"
#include "server/log.hpp"
#include "server/metrics.hpp"
#include "server/session.hpp"

namespace spillway::server {

namespace {

constexpr Duration kHousekeeping = seconds(5);

}  // namespace

Worker::Worker(Gateway& gateway, Audience audience)
    : gateway_(gateway),
      audience_(audience),
      random_(seeded_random()),
      metrics_(std::make_unique<MetricsShard>()) {
  deadlines_.start(io_);
}

Worker::~Worker() {
  deadlines_.stop();
}

void Worker::run() {
  spawn(housekeeping());
  run_event_loop(io_);
  gateway_.worker_ended(audience_);
}

void Worker::use(SnapshotPtr snapshot) {
  asio::post(io_, [this, snapshot = std::move(snapshot)] {
    metrics_->use(snapshot->config);
    snapshot_ = snapshot;
    tls_.forget_named_authorities();  // their files may have changed
  });
}

void Worker::adopt(Socket::native_handle_type handle, bool ipv6) {
  connections_.fetch_add(1, std::memory_order_relaxed);
  asio::post(io_, [this, handle, ipv6] {
    Socket socket(io_);
    error_code ec;
    socket.assign(ipv6 ? Tcp::v6() : Tcp::v4(), handle, ec);
    if (ec) ::close(handle);
    socket.set_option(Tcp::no_delay(true), ec);
    spawn(serve(std::move(socket)));
  });
}

Awaitable<void> Worker::serve(Socket socket) {
  Session session(*this, std::move(socket));
  sessions_.insert(&session);
  metrics_->set_client_connections(sessions_.size());
  try {
    co_await session.run();
  } catch (const std::exception& error) {
    log_error(fmt::format("a session failed: {}", error.what()));
  }
  sessions_.erase(&session);
  metrics_->set_client_connections(sessions_.size());
  connections_.fetch_sub(1, std::memory_order_relaxed);
  stop_when_empty();
}

Awaitable<void> Worker::housekeeping() {
  while (!draining_) {
    housekeeping_timer_.expires_after(kHousekeeping);
    error_code ec;
    co_await housekeeping_timer_.async_wait(to(ec));
    pool_.sweep(now());
    metrics_->set_pool_connections(pool_.idle(), busy_upstreams_);
  }
}

bool Worker::looks_stuck() {
  if (gave_sign_.exchange(false, std::memory_order_relaxed)) {
    silent_looks_.store(0, std::memory_order_relaxed);
    asio::post(io_, [this] { gave_sign_.store(true, std::memory_order_relaxed); });
  } else {
    silent_looks_.fetch_add(1, std::memory_order_relaxed);
  }
  return stuck();
}

void Worker::leave(Leaving why) {
  asio::post(io_, [this, why] {
    leaving_ = true;
    if (why == Leaving::for_good) ready_ = false;
  });
}

void Worker::drain() {
  asio::post(io_, [this] {
    leaving_ = draining_ = true;
    housekeeping_timer_.cancel();
    for (Session* session : sessions_) session->close_if_idle();
    stop_when_empty();
  });
}

void Worker::shed() {
  asio::post(io_, [this] {
    pool_.clear();
    for (Session* session : sessions_) session->close_if_kept();
    release_coroutine_memory();
  });
}

void Worker::cut() {
  asio::post(io_, [this] {
    for (Session* session : sessions_) session->close();
  });
}

void Worker::stop_when_empty() {
  if (!draining_ || connections() > 0) return;
  pool_.clear();
  io_.stop();
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

std::string Worker::make_request_id() {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string id = "req_";
  id.reserve(id.size() + 32);
  for (int half = 0; half < 2; ++half) {
    const std::uint64_t bits = random_();
    for (int shift = 60; shift >= 0; shift -= 4) id += kHex[bits >> shift & 0xF];
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
