// Two ends of a connection within the process, for tests of what works on sockets.
#pragma once

#include <sys/socket.h>

#include <stdexcept>

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

}  // namespace spillway::server
