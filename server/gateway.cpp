#include "server/gateway.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>

#include "core/bounds.hpp"
#include "server/access_log.hpp"
#include "server/event_loop.hpp"
#include "server/listening_socket.hpp"
#include "server/log.hpp"
#include "server/log_files.hpp"
#include "server/metrics.hpp"

namespace spillway::server {

namespace {

constexpr std::size_t kOwnDescriptors = 16;  // standard streams, listeners, signals, one to accept
constexpr std::size_t kWorkerDescriptors = 6;  // epoll, timer, event
constexpr std::size_t kAdminDescriptors = kWorkerDescriptors + bounds::kAdminConnections;
constexpr unsigned kAdminWorkers = 1;

unsigned worker_count(const Config& config) {
  return config.threads ? config.threads : std::max(1u, std::thread::hardware_concurrency());
}

// Each client may need one upstream connection, so half of the descriptors that are left when the
// program has its own are for clients.
std::size_t connection_limit(const Config& config) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const std::size_t own = kOwnDescriptors + worker_count(config) * kWorkerDescriptors +
                          (config.admin ? kAdminDescriptors : 0);
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

// Closes what nobody can use, and says so.
void close_unused(const std::vector<NamedSocket>& sockets, bool admin) {
  for (const NamedSocket& socket : sockets) {
    ::close(socket.descriptor);
    log_warn(socket.name == kAdminSocket && !admin
                 ? "a listening socket for spillway.admin is not used: that is not set"
                 : "of several listening sockets only the first is used");
  }
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
  const bool apart = running().admin.has_value();
  clients_ = std::make_unique<Listener>(*this, io_, apart ? Audience::callers : Audience::everybody,
                                        worker_count(running()));
  if (apart) admin_ = std::make_unique<Listener>(*this, io_, Audience::operators, kAdminWorkers);
  limit_connections();
  each_listener([this](Listener& listener) { listener.use(snapshot_); });
  reloader_.start(launch.in_use);
}

std::expected<Gateway::Addresses, std::string> Gateway::listen() {
  const auto open = [this](Listener& listener, Audience audience, const std::string& host,
                           std::uint16_t port) -> std::optional<std::string> {
    const int socket = take_socket(inherited_.sockets, audience);
    auto acceptor =
        socket < 0 ? open_listening_socket(io_, host, port) : adopt_listening_socket(io_, socket);
    if (!acceptor) return std::move(acceptor.error());
    listener.listen(std::move(*acceptor));
    return std::nullopt;
  };
  const Config& config = running();
  auto problem = open(*clients_, Audience::callers, config.listen_host, config.listen_port);
  if (!problem && admin_)
    problem =
        open(*admin_, Audience::operators, config.admin->listen_host, config.admin->listen_port);
  close_unused(inherited_.sockets, admin_ != nullptr);
  if (problem) return std::unexpected(std::move(*problem));
  Addresses addresses{.clients = clients_->address(), .admin = admin_ ? admin_->address() : ""};
  // Where the configuration chooses the address it is checked already.
  if (exposed() && config.keys.empty())
    return std::unexpected(
        fmt::format("listening on {} without a key would let anyone spend yours; set "
                    "SPILLWAY_MASTER_KEY, general_settings.master_key or spillway.keys",
                    clients_->exposed() ? addresses.clients : addresses.admin));
  return addresses;
}

bool Gateway::exposed() const {
  return clients_->exposed() || (admin_ && admin_->exposed());
}

int Gateway::run() {
  if (shared_) shared_->start();
  each_listener([](Listener& listener) { listener.start(); });
  if (tls_) spawn(tls_->watch_files(io_));
  auto shed = [this] { each_listener([](Listener& listener) { listener.shed(); }); };
  spawn(memory_.watch(io_, &Worker::now, std::move(shed)));
  spawn(watch_workers());
  asio::post(io_, [this] {
    become_ready();
    each_listener([](Listener& listener) { listener.accept(); });
  });
  run_event_loop(io_);
  each_listener([](Listener& listener) { listener.join(); });
  if (reloader_.is_reading()) {  // a file that does not answer must not hold up the end
    shut_down_logs();
    ::_exit(0);
  }
  return 0;
}

// Requests keep the snapshot they began with; those that begin from now on get this one.
std::string Gateway::use(Config next) {
  if (next.access_log.file != running().access_log.file) {
    const NamedFile& log = next.access_log.file;
    const std::string problem = use_access_log_file(log.path);
    if (!problem.empty()) return fmt::format("{}: {}", log.setting, problem);
  }
  if (tls_ && !tls_->reload(*next.tls)) {
    use_access_log_file(running().access_log.file.path);
    return "spillway.tls names files that are of no use";
  }
  memory_.use(next.limits.memory);
  admission_.use(next.limits);
  snapshot_ = make_snapshot(std::move(next), snapshot_, shared_.get());
  if (shared_) shared_->use(snapshot_);
  limit_connections();
  each_listener([this](Listener& listener) { listener.use(snapshot_); });
  return {};
}

void Gateway::limit_connections() {
  clients_->allow(connection_limit(running()));
  if (admin_) admin_->allow(bounds::kAdminConnections);
}

// Operators can look on until the last caller has left.
void Gateway::worker_ended(Audience audience) {
  asio::post(io_, [this, audience] {
    const bool callers = audience != Audience::operators;
    (callers ? clients_ : admin_)->worker_ended();
    if (callers && clients_->ended() && admin_) admin_->drain();
    if (clients_->ended() && (!admin_ || admin_->ended())) io_.stop();
  });
}

std::string Gateway::render_metrics(const Snapshot& snapshot, Fleet& fleet, TimePoint now) const {
  std::vector<const MetricsShard*> shards;
  each_listener([&shards](const Listener& listener) {
    for (const auto& worker : listener.workers()) shards.push_back(&worker->metrics());
  });
  std::optional<SharedStateCounts> shared;
  if (shared_) shared = shared_->counts();
  EdgeCounts edge;
  if (tls_) edge.certificate = tls_->counts();
  edge.running = admission_.running();
  edge.waiting = admission_.waiting();
  edge.stuck_workers = stuck_workers_.load(std::memory_order_relaxed);
  edge.memory = memory_.resident();
  edge.memory_limit = memory_.limit();
  return server::render_metrics(snapshot.config, shards, fleet, now, SPILLWAY_VERSION, shared, edge,
                                reloader_.counts());
}

}  // namespace spillway::server
