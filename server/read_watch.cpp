#include "server/read_watch.hpp"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

namespace spillway::server {

// The handler of the wait in the kernel.
class ReadWatch::Pending {
 public:
  explicit Pending(std::shared_ptr<State> state) : state_(std::move(state)) {}
  Pending(Pending&&) = default;
  Pending& operator=(Pending&&) = delete;
  // Without having run only where the event loop goes away: a coroutine that waits here holds the
  // socket that holds the state.
  ~Pending() {
    if (!state_) return;
    state_->pending = false;
    const auto dropped = take_reader(*state_);
  }

  void operator()(error_code ec) {
    const std::shared_ptr<State> state = std::move(state_);
    state->pending = false;
    const bool watched = std::exchange(state->on, false);
    if (auto reader = take_reader(*state)) {
      reader->ec = ec;
      return reader->waiting.go_on();
    }
    if (!ec && watched && state->on_readable) state->on_readable();
  }

 private:
  static std::optional<Reader> take_reader(State& state) {
    std::optional<Reader> reader = std::move(state.reader);
    state.reader.reset();
    return reader;
  }

  std::shared_ptr<State> state_;
};

ReadWatch::ReadWatch(std::function<void()> on_readable) : state_(std::make_shared<State>()) {
  state_->on_readable = std::move(on_readable);
}

ReadWatch::~ReadWatch() {
  state_->on_readable = nullptr;
}

void ReadWatch::start(Socket& socket) {
  state_->on = true;
  wait(socket);
}

void ReadWatch::notify(Socket& socket, error_code& ec, coroutine::Chain::Waiting reader) {
  state_->reader.emplace(std::move(reader), ec);
  wait(socket);
}

void ReadWatch::wait(Socket& socket) {
  if (std::exchange(state_->pending, true)) return;
  socket.async_wait(Socket::wait_read, Pending(state_));
}

PeerState peek_peer(Socket& socket) {
  char byte;
  const auto n = ::recv(socket.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  if (n > 0) return PeerState::has_data;
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return PeerState::open;
  return PeerState::gone;
}

bool peer_closed(Socket& socket) {
  tcp_info info{};
  socklen_t length = sizeof info;
  if (::getsockopt(socket.native_handle(), IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return true;
  return info.tcpi_state != TCP_ESTABLISHED;
}

}  // namespace spillway::server
