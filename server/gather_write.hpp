// Gather writes that do not wait: what the socket takes at once, as it nearly always does, costs no
// turn of the event loop.
#pragma once

#include <boost/container/small_vector.hpp>
#include <span>
#include <string>
#include <string_view>

#include "server/asio.hpp"

namespace spillway::server {

class Socket;
using Buffers = boost::container::small_vector<asio::const_buffer, 8>;

Buffers as_buffers(std::span<const std::string_view> pieces);
std::size_t size_of(const Buffers& buffers);
void consume(Buffers& buffers, std::size_t bytes);
std::string copy_of(const Buffers& buffers);

// Writes as much as the socket takes at once, and removes it from `buffers`; what is left has to
// wait. Returns how much that was.
std::size_t write_now(Socket& socket, Buffers& buffers, error_code& ec);

}  // namespace spillway::server
