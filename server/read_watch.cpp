#include "server/read_watch.hpp"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>

namespace spillway::server {

ReadWatch::ReadWatch(std::function<void()> on_readable) : state_(std::make_shared<State>()) {
  state_->on_readable = std::move(on_readable);
}

ReadWatch::~ReadWatch() {
  state_->on_readable = nullptr;
}

void ReadWatch::start(Socket& socket) {
  state_->on = true;
  if (state_->pending) return;
  state_->pending = true;
  socket.async_wait(Socket::wait_read, [state = state_](error_code ec) {
    state->pending = false;
    if (ec || !state->on || !state->on_readable) return;
    state->on = false;
    state->on_readable();
  });
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
