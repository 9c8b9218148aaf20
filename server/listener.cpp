#include "server/listener.hpp"

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "server/listening_socket.hpp"
#include "server/log.hpp"

namespace spillway::server {

namespace {

constexpr Duration kAcceptPause = milliseconds(100);  // after running out of descriptors

}  // namespace

Listener::Listener(Gateway& gateway, asio::io_context& io, Audience audience, unsigned workers)
    : io_(io), audience_(audience), acceptor_(io), accept_pause_(io) {
  for (unsigned i = 0; i < workers; ++i)
    workers_.push_back(std::make_unique<Worker>(gateway, audience));
}

void Listener::listen(Acceptor acceptor) {
  acceptor_ = std::move(acceptor);
  acceptor_.native_non_blocking(true);
}

std::string Listener::address() const {
  return address_of(acceptor_);
}

bool Listener::exposed() const {
  return is_exposed(acceptor_);
}

void Listener::start() {
  for (const auto& worker : workers_) threads_.emplace_back([&worker] { worker->run(); });
}

void Listener::accept() {
  spawn(accept_clients());
}

void Listener::join() {
  for (std::thread& thread : threads_) thread.join();
}

std::size_t Listener::connections() const {
  std::size_t sum = 0;
  for (const auto& worker : workers_) sum += worker->connections();
  return sum;
}

Awaitable<void> Listener::accept_clients() {
  while (accepting_) {
    error_code ec;
    co_await acceptor_.async_wait(Acceptor::wait_read, to(ec));
    if (!ec && accepting_) accept_all(ec);
    if (!accepting_ || ec == asio::error::operation_aborted) break;
    // Out of descriptors or of room: the backlog holds new clients until something ends.
    if (ec && ec != asio::error::connection_aborted) {
      accept_pause_.expires_after(kAcceptPause);
      co_await accept_pause_.async_wait(to(ec));
    }
  }
}

// Whoever has arrived, as far as there is room. Takes no memory, so that a moment without any does
// not end the accepting.
void Listener::accept_all(error_code& ec) {
  if (connections() >= most_connections_) {
    ec = asio::error::no_descriptors;
    if (audience_ == Audience::operators) workers_.front()->make_room();
    return;
  }
  while (connections() < most_connections_) {
    const int handle =
        ::accept4(acceptor_.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (handle < 0) {
      if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
        ec.assign(errno, boost::system::system_category());
      return;
    }
    hand_over(Descriptor(handle));
  }
}

void Listener::hand_over(Descriptor socket) {
  const auto least = std::ranges::min_element(workers_, {}, [](const auto& worker) {
    return std::pair(worker->stuck(), worker->connections());
  });
  (*least)->adopt(std::move(socket));
}

void Listener::use(const SnapshotPtr& snapshot) {
  for (const auto& worker : workers_) worker->use(snapshot);
}

void Listener::shed() {
  for (const auto& worker : workers_) worker->shed();
}

std::size_t Listener::look_after_workers() {
  const auto stuck = static_cast<std::size_t>(
      std::ranges::count_if(workers_, [](const auto& worker) { return worker->looks_stuck(); }));
  if (stuck > stuck_)
    log_error(
        fmt::format("{} of {} workers do not come back to their event loops: they get no new "
                    "connections while another does",
                    stuck, workers_.size()));
  if (stuck < stuck_)
    log_warn(fmt::format("a worker is back, {} of {} are not", stuck, workers_.size()));
  return stuck_ = stuck;
}

void Listener::leave(Worker::Leaving why) {
  for (const auto& worker : workers_) worker->leave(why);
}

void Listener::stop_accepting() {
  accepting_ = false;
  // Not by close(): a successor may go on with the socket, and the event loop would be told of
  // that.
  error_code ec;
  const auto socket = acceptor_.release(ec);
  if (!ec) ::close(socket);
  accept_pause_.cancel();
}

void Listener::drain() {
  stop_accepting();
  for (const auto& worker : workers_) worker->drain();
}

void Listener::cut() {
  for (const auto& worker : workers_) worker->cut();
}

}  // namespace spillway::server
