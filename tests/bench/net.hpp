// What both programs of the benchmark need of sockets: loopback only, never blocking. Faults of the
// set-up end the program with a message, since a benchmark that half works is worth nothing.

#pragma once

#include <cstdint>
#include <string_view>

namespace spillway::bench {

// Prints the words and errno's meaning, and ends the program with status 2.
[[noreturn]] void give_up(std::string_view what);

// A listening socket on 127.0.0.1 with a port of the kernel's choice; the caller owns the
// descriptor.
int listen_on_loopback();
// The port that a socket is bound to.
std::uint16_t port_of(int socket);
// A connected socket to 127.0.0.1, with TCP_NODELAY, not blocking; the caller owns the descriptor,
// -1 if refused.
int connect_to_loopback(std::uint16_t port);
// Makes an accepted socket fit for small writes.
void set_no_delay(int socket);

// The monotonic clock in nanoseconds; the same for every process of the machine.
std::uint64_t now_ns();

// As many descriptors as the hard limit allows: thousands of connections at once.
void raise_descriptor_limit();

}  // namespace spillway::bench
