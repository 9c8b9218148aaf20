#include <algorithm>
#include <utility>
#include <vector>

#include "server/body_reader.hpp"
#include "server/client_connection.hpp"
#include "server/gateway.hpp"
#include "server/worker.hpp"

// How a request's body is read.
namespace spillway::server {

namespace {

using ReadFault = ClientConnection::ReadFault;

constexpr std::size_t kReadBytes = 16 * 1024;
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

ReadFault too_large(std::size_t limit) {
  return ReadFault::refuse(413,
                           "The request body is larger than " + std::to_string(limit) + " bytes.");
}

ReadFault out_of_memory() {
  return ReadFault::refuse(503, "The gateway has no memory for the request.");
}

void grow(std::string& text, std::size_t size) {
  // What the callback is told is the capacity with some versions of the library, not the size asked
  // for.
  text.resize_and_overwrite(size, [size](char*, std::size_t) { return size; });
}

}  // namespace

Awaitable<std::optional<ReadFault>> ClientConnection::read_body(const Config& config,
                                                                ClientRequest& request) {
  if (request.framing == BodyFraming::none) co_return std::nullopt;
  if (request.framing == BodyFraming::length && request.content_length > config.limits.body)
    co_return too_large(config.limits.body);
  const TimePoint deadline = worker_.now() + config.timeouts.body;
  const bool waits =
      request.expect_continue && !request.http_1_0 && request.body.empty() && carried_.empty();
  if (waits) {
    const bool told = co_await write(std::span(&kContinue, 1), deadline);
    if (!told) co_return ReadFault::gone();
    bytes_written_ -= kContinue.size();  // it is no part of an answer
  }
  timed_out_ = false;
  deadline_.arm(deadline);
  std::optional<ReadFault> fault;
  if (request.framing == BodyFraming::length)
    fault = co_await read_fixed_body(request);
  else
    fault = co_await read_chunked_body(config, request);
  deadline_.disarm();
  co_return fault;
}

ReadFault ClientConnection::body_fault(const error_code& ec) const {
  if (ec == asio::error::timed_out)
    return ReadFault::refuse(408, "The request body did not arrive in time.");
  return ReadFault::gone();
}

Awaitable<std::optional<ReadFault>> ClientConnection::read_fixed_body(ClientRequest& request) {
  const auto length = static_cast<std::size_t>(request.content_length);
  std::size_t have = request.body.size();
  const std::size_t first = std::min(length, kBodyStepBytes);
  MemoryGuard::Claim claim(worker_.gateway().memory());
  while (have < length) {
    if (have == request.body.size()) {
      const std::size_t step = have < first ? first : length;
      if (!claim.grow(step - have)) co_return out_of_memory();
      // Pages that are not written yet take no memory.
      grow(request.body, step);
    }
    error_code ec;
    const std::size_t n =
        co_await read_some(request.body.data() + have, request.body.size() - have, ec);
    have += n;
    claim.written(n);
    if (ec) co_return body_fault(ec);
  }
  co_return std::nullopt;
}

Awaitable<std::optional<ReadFault>> ClientConnection::read_chunked_body(const Config& config,
                                                                        ClientRequest& request) {
  std::string unparsed = std::exchange(carried_, {});
  BodyReader chunks(BodyFraming::chunked, 0);
  MemoryGuard::Claim claim(worker_.gateway().memory());
  std::vector<std::string_view> pieces;
  for (;;) {
    pieces.clear();
    error_code ec;
    const std::size_t taken = chunks.read(unparsed, pieces, ec);
    if (ec) co_return ReadFault::refuse(400, "The chunked request body is malformed.");
    for (const std::string_view piece : pieces) {
      if (request.body.size() + piece.size() > config.limits.body)
        co_return too_large(config.limits.body);
      if (!claim.grow(piece.size())) co_return out_of_memory();
      request.body.append(piece);
      claim.written(piece.size());
    }
    unparsed.erase(0, taken);
    if (chunks.done()) break;
    const std::size_t kept = unparsed.size();
    grow(unparsed, kept + kReadBytes);
    const std::size_t n = co_await read_some(unparsed.data() + kept, kReadBytes, ec);
    if (ec) co_return body_fault(ec);
    unparsed.resize(kept + n);
  }
  carried_ = std::move(unparsed);
  co_return std::nullopt;
}

}  // namespace spillway::server
