#include "server/gateway.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>

#include "server/access_log.hpp"
#include "server/event_loop.hpp"
#include "server/log.hpp"
#include "server/log_files.hpp"
#include "server/metrics.hpp"

namespace spillway::server {

namespace {

constexpr Duration kAcceptPause = milliseconds(100);  // after running out of descriptors
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

Gateway::Gateway(Launch launch)
    : inherited_(std::move(launch.inherited)),
      reloader_(io_, std::move(launch.source), *this),
      successor_(io_, std::move(launch.call),
                 [this](const Successor::Outcome& outcome) { on_successor(outcome); }) {
  Config& config = *launch.in_use.config;
  raise_descriptor_limit();
  ::signal(SIGPIPE, SIG_IGN);
  listen_for_signals();
  if (config.redis) shared_ = std::make_unique<SharedState>(*config.redis, &Worker::now);
  snapshot_ = make_snapshot(std::move(config), nullptr, shared_.get());
  if (shared_) shared_->use(snapshot_);
  if (snapshot_->config.tls) tls_ = std::make_unique<TlsListener>(*snapshot_->config.tls);
  memory_.use(snapshot_->config.limits.memory);
  admission_.use(snapshot_->config.limits);
  max_connections_ = connection_limit(snapshot_->config);
  for (unsigned i = 0; i < worker_count(snapshot_->config); ++i) {
    workers_.push_back(std::make_unique<Worker>(*this, i));
    workers_.back()->use(snapshot_);
  }
  reloader_.start(launch.in_use);
}

std::expected<std::string, std::string> Gateway::listen() {
  const auto& sockets = inherited_.sockets;
  auto acceptor = sockets.empty() ? open_listening_socket(io_, running())
                                  : adopt_listening_socket(io_, sockets.front());
  for (std::size_t i = 1; i < sockets.size(); ++i) ::close(sockets[i]);
  if (sockets.size() > 1) log_warn("of several listening sockets only the first is used");
  if (!acceptor) return std::unexpected(std::move(acceptor.error()));
  acceptor_ = std::move(*acceptor);
  ipv6_ = acceptor_.local_endpoint().protocol() == Tcp::v6();
  // Where the configuration chooses the address it is checked already.
  if (exposed() && running().keys.empty())
    return std::unexpected(
        fmt::format("listening on {} without a key would let anyone spend yours; set "
                    "SPILLWAY_MASTER_KEY, general_settings.master_key or spillway.keys",
                    server::address_of(acceptor_)));
  return server::address_of(acceptor_);
}

int Gateway::run() {
  if (shared_) shared_->start();
  for (const auto& worker : workers_) threads_.emplace_back([&worker] { worker->run(); });
  if (tls_) spawn(tls_->watch_files(io_));
  auto shed = [this] {
    for (const auto& worker : workers_) worker->shed();
  };
  spawn(memory_.watch(io_, &Worker::now, std::move(shed)));
  asio::post(io_, [this] {
    become_ready();
    spawn(accept_clients());
  });
  run_event_loop(io_);
  for (std::thread& thread : threads_) thread.join();
  if (reloader_.is_reading()) {  // a file that does not answer must not hold up the end
    shut_down_logs();
    ::_exit(0);
  }
  return 0;
}

Awaitable<void> Gateway::accept_clients() {
  while (accepting_) {
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
    if (!accepting_ || ec == asio::error::operation_aborted) break;
    // Out of descriptors or of room: the backlog holds new clients until something ends.
    if (ec && ec != asio::error::connection_aborted) {
      accept_pause_.expires_after(kAcceptPause);
      co_await accept_pause_.async_wait(to(ec));
    }
  }
}

void Gateway::hand_over(Socket socket) {
  const auto least = std::ranges::min_element(
      workers_, {}, [](const auto& worker) { return worker->connections(); });
  error_code ec;
  const auto handle = socket.release(ec);
  if (!ec) (*least)->adopt(handle, ipv6_);
}

void Gateway::stop_accepting() {
  accepting_ = false;
  // Not by close(): a successor may go on with the socket, and the event loop would be told of
  // that.
  error_code ec;
  const auto socket = acceptor_.release(ec);
  if (!ec) ::close(socket);
  accept_pause_.cancel();
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
  memory_.use(next.limits.memory);
  admission_.use(next.limits);
  snapshot_ = make_snapshot(std::move(next), snapshot_, shared_.get());
  if (shared_) shared_->use(snapshot_);
  for (const auto& worker : workers_) worker->use(snapshot_);
  return {};
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
  edge.running = admission_.running();
  edge.waiting = admission_.waiting();
  edge.memory = memory_.resident();
  edge.memory_limit = memory_.limit();
  return server::render_metrics(snapshot.config, shards, fleet, now, SPILLWAY_VERSION, shared, edge,
                                reloader_.counts());
}

}  // namespace spillway::server
