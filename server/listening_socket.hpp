// The socket on which clients arrive: one of our own, or one that whoever started this process
// listens on already (systemd, or this program's predecessor).
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include "server/asio.hpp"
#include "server/routes.hpp"
#include "server/supervisor.hpp"

namespace spillway::server {

// Binds and listens; an error says which address could not be had. `host` without brackets.
std::expected<Acceptor, std::string> open_listening_socket(asio::io_context& io,
                                                           const std::string& host,
                                                           std::uint16_t port);

// Takes the socket over. An error says why it is of no use; it is closed then.
std::expected<Acceptor, std::string> adopt_listening_socket(asio::io_context& io, int socket);

// Takes the first socket out of `sockets` that was handed over for `audience`; -1: there is none.
int take_socket(std::vector<NamedSocket>& sockets, Audience audience);

// HOST:PORT as in a URL.
std::string address_of(const Acceptor& acceptor);

// True if others than this machine can reach it.
bool is_exposed(const Acceptor& acceptor);

}  // namespace spillway::server
