#include "server/gateway.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>

#include "server/access_log.hpp"
#include "server/log.hpp"
#include "server/log_files.hpp"
#include "server/metrics.hpp"

namespace spillway::server {

namespace {

constexpr Duration kAcceptPause = milliseconds(100);  // after running out of descriptors
constexpr Duration kCutPatience = seconds(2);  // between closing everything and leaving anyway
constexpr int kBacklog = 4096;
constexpr std::size_t kOwnDescriptors = 16;    // standard streams, listener, signals, one to accept
constexpr std::size_t kWorkerDescriptors = 6;  // epoll, timer, event

unsigned worker_count(const Config& config) {
  return config.threads ? config.threads : std::max(1u, std::thread::hardware_concurrency());
}

// Each client may need one upstream connection, so half of the descriptors that are left when the
// program has its own are for clients.
std::size_t connection_limit(const Config& config) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const std::size_t own = kOwnDescriptors + worker_count(config) * kWorkerDescriptors;
  const std::size_t left = limit.rlim_cur > own ? limit.rlim_cur - own : 0;
  const std::size_t half = std::max<std::size_t>(left / 2, 8);
  return config.limits.connections ? std::min(config.limits.connections, half) : half;
}

void raise_descriptor_limit() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

Gateway::Gateway(ConfigurationSource source, ConfigurationSource::Reading in_use)
    : reloader_(io_, std::move(source), *this) {
  Config& config = *in_use.config;
  raise_descriptor_limit();
  ::signal(SIGPIPE, SIG_IGN);
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGUSR1}) signals_.add(number);
  wait_for_signal();
  if (config.redis) shared_ = std::make_unique<SharedState>(*config.redis, &Worker::now);
  snapshot_ = make_snapshot(std::move(config), nullptr, shared_.get());
  if (shared_) shared_->use(snapshot_);
  if (snapshot_->config.tls) tls_ = std::make_unique<TlsListener>(*snapshot_->config.tls);
  max_connections_ = connection_limit(snapshot_->config);
  for (unsigned i = 0; i < worker_count(snapshot_->config); ++i) {
    workers_.push_back(std::make_unique<Worker>(*this, i));
    workers_.back()->use(snapshot_);
  }
  reloader_.start(in_use);
}

// A signal that comes while the process is already ending changes nothing any more.
Gateway::~Gateway() {
  error_code ignored;
  signals_.clear(ignored);
  ::signal(SIGTERM, SIG_IGN);
  ::signal(SIGINT, SIG_IGN);
  ::signal(SIGHUP, SIG_IGN);
  ::signal(SIGUSR1, SIG_IGN);
}

std::expected<std::uint16_t, std::string> Gateway::listen() {
  const Config& config = snapshot_->config;
  error_code ec;
  const std::string host = config.listen_host == "localhost" ? "127.0.0.1" : config.listen_host;
  const auto address = asio::ip::make_address(host, ec);
  const auto refused = [&](std::string_view what) {
    return std::unexpected(fmt::format("cannot listen on {}:{}: {} ({})", config.listen_host,
                                       config.listen_port, what, ec.message()));
  };
  if (ec) return refused("not an address");
  const Tcp::endpoint endpoint(address, config.listen_port);
  acceptor_.open(endpoint.protocol(), ec);
  if (ec) return refused("no socket");
  acceptor_.set_option(Acceptor::reuse_address(true), ec);
  acceptor_.bind(endpoint, ec);
  if (ec) return refused("the address cannot be bound");
  acceptor_.listen(kBacklog, ec);
  if (ec) return refused("the socket cannot listen");
  return acceptor_.local_endpoint().port();
}

int Gateway::run() {
  if (shared_) shared_->start();
  for (const auto& worker : workers_) threads_.emplace_back([&worker] { worker->run(); });
  asio::co_spawn(io_, accept_clients(), asio::detached);
  if (tls_) asio::co_spawn(io_, tls_->watch_files(io_), asio::detached);
  io_.run();
  for (std::thread& thread : threads_) thread.join();
  return 0;
}

Awaitable<void> Gateway::accept_clients() {
  while (!draining_) {
    const auto connections = [this] {
      std::size_t sum = 0;
      for (const auto& worker : workers_) sum += worker->connections();
      return sum;
    };
    error_code ec;
    if (connections() >= max_connections_) {
      ec = asio::error::no_descriptors;
    } else {
      Socket socket(io_);
      co_await acceptor_.async_accept(socket, to(ec));
      if (!ec) hand_over(std::move(socket));
    }
    if (draining_ || ec == asio::error::operation_aborted) break;
    // Out of descriptors or of room: the backlog holds new clients until something ends.
    if (ec && ec != asio::error::connection_aborted) {
      accept_pause_.expires_after(kAcceptPause);
      co_await accept_pause_.async_wait(to(ec));
    }
  }
}

void Gateway::hand_over(Socket socket) {
  error_code ec;
  const bool ipv6 = acceptor_.local_endpoint(ec).protocol() == Tcp::v6();
  const auto least = std::ranges::min_element(
      workers_, {}, [](const auto& worker) { return worker->connections(); });
  const auto handle = socket.release(ec);
  if (!ec) (*least)->adopt(handle, ipv6);
}

void Gateway::wait_for_signal() {
  signals_.async_wait([this](error_code ec, int number) {
    if (ec) return;
    on_signal(number);
    wait_for_signal();
  });
}

void Gateway::on_signal(int number) {
  if (number == SIGHUP)
    reloader_.reload("SIGHUP");
  else if (number == SIGUSR1)
    reopen_logs();
  else
    stop();
}

void Gateway::reopen_logs() {
  for (const std::string& problem : reopen_log_files())
    log_warn(fmt::format("the log goes on as it was: {}", problem));
  log_info("SIGUSR1: log files were opened again");
}

// Readiness fails first, so that whoever sends requests here can notice and go elsewhere.
void Gateway::stop() {
  if (stopping_) {  // a second signal: the operator does not want to wait
    log_warn("second signal: exiting at once");
    shut_down_logs();
    ::_exit(0);
  }
  stopping_ = true;
  reloader_.stop();
  for (const auto& worker : workers_) worker->leave();
  const Duration delay = running().timeouts.drain_delay;
  if (delay == Duration::zero()) return drain();
  log_info("not ready any more: new connections are accepted for a while");
  drain_timer_.expires_after(delay);
  drain_timer_.async_wait([this](error_code ec) {
    if (!ec) drain();
  });
}

// Requests keep the snapshot they began with; those that begin from now on get this one.
std::string Gateway::use(Config next) {
  if (next.access_log.file != running().access_log.file) {
    const std::string problem = use_access_log_file(next.access_log.file);
    if (!problem.empty()) return fmt::format("spillway.access_log.file: {}", problem);
  }
  if (tls_ && !tls_->reload(*next.tls)) {
    use_access_log_file(running().access_log.file);
    return "spillway.tls names files that are of no use";
  }
  max_connections_ = connection_limit(next);
  snapshot_ = make_snapshot(std::move(next), snapshot_, shared_.get());
  if (shared_) shared_->use(snapshot_);
  for (const auto& worker : workers_) worker->use(snapshot_);
  return {};
}

void Gateway::drain() {
  draining_ = true;
  log_info("draining: no new connections, running requests may finish");
  error_code ignored;
  acceptor_.close(ignored);
  accept_pause_.cancel();
  for (const auto& worker : workers_) worker->drain();
  drain_timer_.expires_after(snapshot_->config.timeouts.drain);
  drain_timer_.async_wait([this](error_code ec) {
    if (ec) return;
    log_warn("the grace period is over: closing what is still running");
    for (const auto& worker : workers_) worker->cut();
    drain_timer_.expires_after(kCutPatience);
    drain_timer_.async_wait([](error_code late) {
      if (late) return;
      shut_down_logs();
      ::_exit(0);
    });
  });
}

void Gateway::worker_ended() {
  asio::post(io_, [this] {
    if (++workers_ended_ == workers_.size()) io_.stop();
  });
}

std::string Gateway::render_metrics(const Snapshot& snapshot, Fleet& fleet, TimePoint now) const {
  std::vector<const MetricsShard*> shards;
  for (const auto& worker : workers_) shards.push_back(&worker->metrics());
  std::optional<SharedStateCounts> shared;
  if (shared_) shared = shared_->counts();
  EdgeCounts edge;
  if (tls_) edge.certificate = tls_->counts();
  return server::render_metrics(snapshot.config, shards, fleet, now, SPILLWAY_VERSION, shared,
                                edge, reloader_.counts());
}

bool Gateway::admit_request(const Config& config) {
  const std::size_t limit = config.limits.concurrent_requests;
  const std::size_t before = running_requests_.fetch_add(1, std::memory_order_relaxed);
  if (limit == 0 || before < limit) return true;
  running_requests_.fetch_sub(1, std::memory_order_relaxed);
  return false;
}

void Gateway::finished_request() {
  running_requests_.fetch_sub(1, std::memory_order_relaxed);
}

}  // namespace spillway::server
