// Two ends of a connection within the process, for tests of what works on sockets.
#pragma once

#include <fcntl.h>
#include <sys/socket.h>

#include <optional>
#include <stdexcept>
#include <utility>

#include "server/coroutine.hpp"
#include "server/socket.hpp"

namespace spillway::server {

// Opens `socket`; the other end of it does not block either.
inline Descriptor connected_to(Socket& socket) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0)
    throw std::runtime_error("no pair of sockets");
  socket.open(Descriptor(ends[0]));
  return Descriptor(ends[1]);
}

// The same over TCP, with the kernel's least room for what is sent.
inline Descriptor connected_over_tcp(Socket& socket) {
  const Descriptor listening(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  Descriptor peer(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  Tcp::endpoint here(asio::ip::address_v4::loopback(), 0);
  auto size = static_cast<socklen_t>(here.capacity());
  const int least = 1;
  if (::setsockopt(peer.get(), SOL_SOCKET, SO_RCVBUF, &least, sizeof least) != 0 ||
      ::setsockopt(listening.get(), SOL_SOCKET, SO_SNDBUF, &least, sizeof least) != 0 ||
      ::bind(listening.get(), here.data(), static_cast<socklen_t>(here.size())) != 0 ||
      ::listen(listening.get(), 1) != 0 ||
      ::getsockname(listening.get(), here.data(), &size) != 0 ||
      ::connect(peer.get(), here.data(), size) != 0)
    throw std::runtime_error("no connection");
  Descriptor accepted(::accept4(listening.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (accepted.get() < 0 || ::fcntl(peer.get(), F_SETFL, O_NONBLOCK) != 0)
    throw std::runtime_error("no connection");
  socket.open(std::move(accepted));
  return peer;
}

// `result` is empty until the wait has ended.
inline Awaitable<void> wait_readable(Socket& socket, std::optional<error_code>& result) {
  error_code ec;
  co_await socket.readable(ec);
  result = ec;
}

inline Awaitable<void> wait_writable(Socket& socket, std::optional<error_code>& result) {
  error_code ec;
  co_await socket.writable(ec);
  result = ec;
}

}  // namespace spillway::server
