// The socket on which clients arrive: one of our own, or one that whoever started this process
// listens on already (systemd, or this program's predecessor).
#pragma once

#include <expected>
#include <string>

#include "core/config.hpp"
#include "server/asio.hpp"

namespace spillway::server {

// Binds and listens where the configuration says; an error says which address could not be had.
std::expected<Acceptor, std::string> open_listening_socket(asio::io_context& io,
                                                           const Config& config);

// Takes the socket over. An error says why it is of no use; it is closed then.
std::expected<Acceptor, std::string> adopt_listening_socket(asio::io_context& io, int socket);

// HOST:PORT as in a URL.
std::string address_of(const Acceptor& acceptor);

// True if others than this machine can reach it.
bool is_exposed(const Acceptor& acceptor);

}  // namespace spillway::server
