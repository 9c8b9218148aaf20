#include "server/gather_write.hpp"

#include <algorithm>
#include <boost/asio/buffer.hpp>

#include "server/socket.hpp"

namespace spillway::server {

Buffers as_buffers(std::span<const std::string_view> pieces) {
  Buffers buffers;
  buffers.reserve(pieces.size());
  for (const std::string_view piece : pieces)
    if (!piece.empty()) buffers.emplace_back(piece.data(), piece.size());
  return buffers;
}

std::size_t size_of(const Buffers& buffers) {
  return asio::buffer_size(buffers);
}

std::string copy_of(const Buffers& buffers) {
  std::string bytes;
  bytes.reserve(size_of(buffers));
  for (const asio::const_buffer& buffer : buffers)
    bytes.append(static_cast<const char*>(buffer.data()), buffer.size());
  return bytes;
}

std::size_t write_now(Socket& socket, Buffers& buffers, error_code& ec) {
  ec = {};
  if (buffers.empty()) return 0;
  const std::size_t sent = socket.write_some(buffers, ec);
  if (ec == asio::error::would_block) ec = {};
  consume(buffers, sent);
  return sent;
}

void consume(Buffers& buffers, std::size_t bytes) {
  auto first = buffers.begin();
  while (first != buffers.end() && bytes >= first->size()) bytes -= (first++)->size();
  buffers.erase(buffers.begin(), first);
  if (bytes > 0) buffers.front() += bytes;
}

}  // namespace spillway::server
