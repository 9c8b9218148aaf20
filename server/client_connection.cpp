#include "server/client_connection.hpp"

#include <algorithm>
#include <boost/asio/write.hpp>
#include <utility>

#include "server/worker.hpp"

namespace spillway::server {

namespace {

constexpr std::size_t kReadBytes = 16 * 1024;
constexpr std::size_t kBodyStepBytes = 1024 * 1024;  // a promised body gets memory as it arrives
constexpr Duration kSecondLook = milliseconds(500);
constexpr Duration kLinger = seconds(2);
constexpr std::size_t kLingerBytes = 4 * 1024 * 1024;
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

using ReadFault = ClientConnection::ReadFault;

ReadFault gone() {
  return ReadFault{std::nullopt};
}
ReadFault refuse(int status, std::string message) {
  return ReadFault{HeadFault{status, std::move(message)}};
}
ReadFault too_large(std::size_t limit) {
  return refuse(413, "The request body is larger than " + std::to_string(limit) + " bytes.");
}

// An accepted target in origin-form.
std::string_view without_authority(std::string_view target) {
  const auto scheme = target.find("://");
  if (scheme == std::string_view::npos || target.starts_with('/')) return target;
  const auto end = target.find_first_of("/?", scheme + 3);
  if (end == std::string_view::npos) return "/";
  return target.substr(end);
}

void grow(std::string& text, std::size_t size) {
  // What the callback is told is the capacity with some versions of the library, not the size asked
  // for.
  text.resize_and_overwrite(size, [size](char*, std::size_t) { return size; });
}

}  // namespace

ClientConnection::ClientConnection(Worker& worker, Socket socket)
    : worker_(worker),
      socket_(std::move(socket)),
      deadline_(worker.io().get_executor(),
                [this] {
                  timed_out_ = true;
                  error_code ignored;
                  // A client that is slow to send can still be told so; one that does not read
                  // cannot, and a cancelled write might go on with its next piece.
                  if (writing_)
                    socket_.close(ignored);
                  else
                    socket_.cancel(ignored);
                }),
      watch_([this] { look_at_peer(); }),
      second_look_(worker.io().get_executor(), [this] { look_at_peer(); }) {
  error_code ec;
  const auto endpoint = socket_.remote_endpoint(ec);
  if (!ec) peer_ = endpoint.address().to_string();
}

void ClientConnection::start_next_request() {
  parser_.emplace();
  pieces_.clear();
  std::copy(buffer_.begin() + consumed_, buffer_.begin() + used_, buffer_.begin());
  used_ -= consumed_;
  consumed_ = 0;
  if (!carried_.empty()) {
    buffer_.resize(std::max(buffer_.size(), used_ + carried_.size()));
    std::copy(carried_.begin(), carried_.end(), buffer_.begin() + used_);
    used_ += carried_.size();
    carried_.clear();
  }
  timed_out_ = false;
}

Awaitable<std::size_t> ClientConnection::read_some(char* data, std::size_t size, error_code& ec) {
  const asio::mutable_buffer target(data, size);
  const std::size_t n = co_await socket_.async_read_some(target, to(ec));
  if (timed_out_) ec = asio::error::timed_out;
  co_return n;
}

Awaitable<std::optional<ReadFault>> ClientConnection::read_head(const Config& config,
                                                                ClientRequest& request) {
  start_next_request();
  const HeadLimits limits{config.limits.head, config.limits.headers};
  RequestHeadCheck check(limits);
  idle_ = used_ == 0;
  deadline_.arm(worker_.now() +
                (first_ || !idle_ ? config.timeouts.head : config.timeouts.keepalive));
  for (;;) {
    const auto state = check.feed({buffer_.data(), used_});
    if (state == RequestHeadCheck::State::bad) co_return ReadFault{check.fault()};
    if (state == RequestHeadCheck::State::complete) break;
    if (used_ == buffer_.size()) buffer_.resize(std::max(kReadBytes, buffer_.size() * 2));
    error_code ec;
    const std::size_t n = co_await read_some(buffer_.data() + used_, buffer_.size() - used_, ec);
    if (ec == asio::error::timed_out && used_ > 0)
      co_return refuse(408, "The request head did not arrive in time.");
    if (ec) co_return gone();
    used_ += n;
    if (idle_) {
      idle_ = false;
      if (!first_) deadline_.arm(worker_.now() + config.timeouts.head);
    }
  }
  deadline_.disarm();
  first_ = false;
  consumed_ = check.head_bytes();
  const std::string_view head(buffer_.data() + check.skipped_bytes(),
                              consumed_ - check.skipped_bytes());
  error_code ec;
  parser_->parse(head, pieces_, ec);
  if (ec || !parser_->is_header_done()) co_return refuse(400, "The request head is malformed.");
  request.method = parser_->method();
  const std::string_view target = without_authority(parser_->target());
  const auto question = target.find('?');
  request.path = question == 0 ? std::string_view("/") : target.substr(0, question);
  if (question != std::string_view::npos) request.query = target.substr(question + 1);
  request.headers = parser_->headers();
  request.framing = check.framing();
  request.content_length = check.content_length();
  request.http_1_0 = check.http_1_0();
  request.keep_alive = check.keep_alive();
  request.expect_continue = check.expect_continue();
  request.head_at = worker_.now();
  co_return std::nullopt;
}

Awaitable<std::optional<ReadFault>> ClientConnection::read_body(const Config& config,
                                                                ClientRequest& request) {
  if (request.framing == BodyFraming::none) co_return std::nullopt;
  if (request.framing == BodyFraming::length && request.content_length > config.limits.body)
    co_return too_large(config.limits.body);
  deadline_.arm(worker_.now() + config.timeouts.body);
  const bool waits = request.expect_continue && !request.http_1_0 && used_ == consumed_;
  if (waits) {
    error_code ec;
    co_await asio::async_write(socket_, asio::buffer(kContinue), to(ec));
    if (ec) co_return gone();
  }
  std::optional<ReadFault> fault;
  if (request.framing == BodyFraming::length)
    fault = co_await read_fixed_body(request);
  else
    fault = co_await read_chunked_body(config, request);
  deadline_.disarm();
  co_return fault;
}

ReadFault ClientConnection::body_fault(const error_code& ec) const {
  if (ec == asio::error::timed_out) return refuse(408, "The request body did not arrive in time.");
  return gone();
}

Awaitable<std::optional<ReadFault>> ClientConnection::read_fixed_body(ClientRequest& request) {
  const auto length = static_cast<std::size_t>(request.content_length);
  const std::size_t here = std::min(length, used_ - consumed_);
  request.body.assign(buffer_.data() + consumed_, here);
  consumed_ += here;
  std::size_t have = here;
  while (have < length) {
    if (have == request.body.size())
      grow(request.body, std::min(length, std::max(have * 2, have + kBodyStepBytes)));
    error_code ec;
    const std::size_t n =
        co_await read_some(request.body.data() + have, request.body.size() - have, ec);
    have += n;
    if (ec) co_return body_fault(ec);
  }
  co_return std::nullopt;
}

Awaitable<std::optional<ReadFault>> ClientConnection::read_chunked_body(const Config& config,
                                                                        ClientRequest& request) {
  std::string unparsed(buffer_.data() + consumed_, used_ - consumed_);
  consumed_ = used_;
  for (;;) {
    pieces_.clear();
    error_code ec;
    const std::size_t taken = parser_->parse(unparsed, pieces_, ec);
    if (ec) co_return refuse(400, "The chunked request body is malformed.");
    for (const std::string_view piece : pieces_) {
      if (request.body.size() + piece.size() > config.limits.body)
        co_return too_large(config.limits.body);
      request.body.append(piece);
    }
    unparsed.erase(0, taken);
    if (parser_->is_done()) break;
    const std::size_t kept = unparsed.size();
    grow(unparsed, kept + kReadBytes);
    const std::size_t n = co_await read_some(unparsed.data() + kept, kReadBytes, ec);
    if (ec) co_return body_fault(ec);
    unparsed.resize(kept + n);
  }
  carried_ = std::move(unparsed);
  co_return std::nullopt;
}

Awaitable<bool> ClientConnection::write(std::span<const std::string_view> pieces,
                                        TimePoint deadline) {
  std::vector<asio::const_buffer> buffers;
  buffers.reserve(pieces.size());
  for (const std::string_view piece : pieces) buffers.emplace_back(piece.data(), piece.size());
  timed_out_ = false;
  writing_ = true;
  deadline_.arm(deadline);
  error_code ec;
  bytes_written_ += co_await asio::async_write(socket_, buffers, to(ec));
  deadline_.disarm();
  writing_ = false;
  if (ec) close();
  co_return !ec;
}

void ClientConnection::watch(std::function<void(Ending)> on_ending) {
  on_ending_ = std::move(on_ending);
  watch_.start(socket_);
}

void ClientConnection::stop_watching() {
  watch_.stop();
  second_look_.disarm();
  on_ending_ = nullptr;
}

void ClientConnection::look_at_peer() {
  if (!on_ending_ || !socket_.is_open()) return;
  const PeerState state = peek_peer(socket_);
  const bool left =
      state == PeerState::gone || (state == PeerState::has_data && peer_closed(socket_));
  if (left) {
    end(Ending::client_left);
  } else if (state == PeerState::has_data) {
    second_look_.arm(worker_.now() + kSecondLook);
  } else {
    watch_.start(socket_);
  }
}

Awaitable<void> ClientConnection::linger() {
  error_code ec;
  socket_.shutdown(Socket::shutdown_send, ec);
  timed_out_ = false;
  deadline_.arm(worker_.now() + kLinger);
  std::size_t dropped = 0;
  if (buffer_.empty()) buffer_.resize(kReadBytes);
  while (!ec && dropped < kLingerBytes)
    dropped += co_await read_some(buffer_.data(), buffer_.size(), ec);
  close();
}

void ClientConnection::close() {
  stop_watching();
  deadline_.disarm();
  error_code ignored;
  socket_.close(ignored);
}

void ClientConnection::reset() {
  error_code ignored;
  socket_.set_option(Socket::linger(true, 0), ignored);
  close();
}

void ClientConnection::end(Ending why) {
  if (const auto on_ending = std::exchange(on_ending_, nullptr))
    on_ending(why);
  else
    close();
}

}  // namespace spillway::server
