#include "server/client_connection.hpp"

#include <fmt/format.h>
#include <openssl/err.h>
#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/error.hpp>
#include <utility>

#include "server/body_reader.hpp"
#include "server/gateway.hpp"
#include "server/log.hpp"
#include "server/metrics.hpp"
#include "server/worker.hpp"

namespace spillway::server {

namespace {

constexpr std::size_t kReadBytes = 16 * 1024;
// So much of a promised body must have come before the rest gets memory.
constexpr std::size_t kBodyStepBytes = 1024 * 1024;
constexpr std::size_t kUsualFields = 16;
constexpr Duration kSecondLook = milliseconds(500);
constexpr Duration kLinger = seconds(2);
constexpr std::size_t kLingerBytes = 4 * 1024 * 1024;
constexpr std::string_view kPlainText =
    "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 35\r\n"
    "Connection: close\r\n\r\nThis port speaks HTTPS, not HTTP.\r\n";
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

ReadFault out_of_memory() {
  return refuse(503, "The gateway has no memory for the request.");
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
      tls_(worker.gateway().make_tls(socket_)),
      deadline_(worker.deadlines(),
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
      second_look_(worker.deadlines(), [this] { look_at_peer(); }) {
  error_code ec;
  socket_.non_blocking(true, ec);
  const auto endpoint = socket_.remote_endpoint(ec);
  if (!ec) peer_ = endpoint.address().to_string();
}

Awaitable<bool> ClientConnection::shake_hands(Duration patience) {
  deadline_.arm(worker_.now() + std::min(patience, bounds::kTlsHandshake));
  error_code ec;
  auto wants = TlsSocket::Wants::readable;  // the client speaks first
  while (!ec && wants != TlsSocket::Wants::nothing) {
    co_await wait_for(wants, ec);
    if (!ec) wants = tls_->shake_hands(ec);
  }
  if (timed_out_) ec = asio::error::timed_out;
  deadline_.disarm();
  if (ec) {
    co_await refuse_handshake(ec);
    co_return false;
  }
  const bool resumed = SSL_session_reused(tls_->native_handle()) == 1;
  worker_.metrics().count_tls_handshake(resumed ? TlsHandshake::resumed : TlsHandshake::full);
  co_return true;
}

Awaitable<void> ClientConnection::refuse_handshake(error_code why) {
  const bool plain_text =
      why.category() == asio::error::get_ssl_category() &&
      ERR_GET_REASON(static_cast<unsigned long>(why.value())) == SSL_R_HTTP_REQUEST;
  const bool late = why == asio::error::timed_out;
  worker_.metrics().count_tls_handshake(late         ? TlsHandshake::timed_out
                                        : plain_text ? TlsHandshake::plain_text
                                                     : TlsHandshake::failed);
  if (debug_log_wanted())
    log_debug(fmt::format("TLS handshake with {} failed: {}", peer_, why.message()));
  tls_.reset();
  if (late) co_return close();
  if (plain_text) {
    const bool told = co_await write(std::span(&kPlainText, 1), worker_.now() + kLinger);
    if (!told) co_return;
  }
  co_await linger();  // or the alert that says why would be lost
}

std::size_t ClientConnection::read_at_once(std::span<char> room, error_code& ec) {
  if (!tls_) return socket_.read_some(asio::buffer(room.data(), room.size()), ec);
  std::size_t n = 0;
  if (tls_->read(room, n, ec) != TlsSocket::Wants::nothing) ec = asio::error::would_block;
  return n;
}

// Asks the kernel first, and waits only where it has nothing.
Awaitable<std::size_t> ClientConnection::read_some(char* data, std::size_t size, error_code& ec) {
  const std::span room(data, size);
  std::size_t n = read_at_once(room, ec);
  if (!ec && ++reads_without_wait_ >= kReadsWithoutWait) {
    reads_without_wait_ = 0;
    co_await asio::post(worker_.io(), asio::deferred);
  }
  while (ec == asio::error::would_block) {
    reads_without_wait_ = 0;
    co_await watch_.readable(socket_, ec);
    if (!ec) n = read_at_once(room, ec);
  }
  if (timed_out_) ec = asio::error::timed_out;
  co_return n;
}

Awaitable<std::optional<ReadFault>> ClientConnection::read_head(const Config& config,
                                                                ClientRequest& request) {
  const HeadLimits limits{config.limits.head, config.limits.headers};
  RequestHeadCheck check(limits, &request.fields);
  timed_out_ = false;
  idle_ = carried_.empty();
  deadline_.arm(worker_.now() +
                (first_ || !idle_ ? config.timeouts.head : config.timeouts.keepalive));
  // Usually a head comes in one piece, and is not copied here.
  std::string begun = std::exchange(carried_, {});
  std::string_view received = begun;
  // Whoever sends ahead lets others have their turn between its requests.
  if (!begun.empty()) co_await asio::post(worker_.io(), asio::deferred);
  bool at_hand = tls_ && tls_->has_pending();
  while (check.feed(received) == RequestHeadCheck::State::need_more) {
    if (begun.empty()) received = begun = received;  // out of the read buffer, before waiting
    error_code ec;
    if (!at_hand) co_await watch_.readable(socket_, ec);
    const auto buffer = worker_.read_buffer().use();
    std::size_t n = 0;
    if (!ec) n = read_at_once(buffer, ec);
    at_hand = tls_ && n == buffer.size();
    if (timed_out_) ec = asio::error::timed_out;
    if (ec == asio::error::would_block) continue;
    request.fields.reserve(kUsualFields);
    if (ec == asio::error::timed_out && !begun.empty())
      co_return refuse(408, "The request head did not arrive in time.");
    if (ec) co_return gone();
    if (idle_) {
      idle_ = false;
      if (!first_) deadline_.arm(worker_.now() + config.timeouts.head);
    }
    received = std::string_view(buffer.data(), n);
    if (!begun.empty()) received = begun.append(received);
  }
  if (check.feed(received) == RequestHeadCheck::State::bad) co_return ReadFault{check.fault()};
  deadline_.disarm();
  first_ = false;
  take_head(check, received, request);
  take_body(received.substr(check.head_bytes()), request);
  request.head_at = worker_.now();
  co_return std::nullopt;
}

// `received` begins with the head that `check` has accepted.
void ClientConnection::take_head(RequestHeadCheck& check, std::string_view received,
                                 ClientRequest& request) {
  request.head.assign(received.data(), received.data() + check.head_bytes());
  check.feed({request.head.data(), request.head.size()});
  request.method = check.method();
  const std::string_view target = without_authority(check.target());
  const auto query = target.find('?');
  request.path = query == 0 ? "/" : target.substr(0, query);
  request.query = query == std::string_view::npos ? std::string_view() : target.substr(query + 1);
  request.headers = request.fields;
  request.framing = check.framing();
  request.content_length = check.content_length();
  request.http_1_0 = check.http_1_0();
  request.keep_alive = check.keep_alive();
  request.expect_continue = check.expect_continue();
}

// What came with the head: the body's beginning, and what a client sends ahead.
void ClientConnection::take_body(std::string_view received, ClientRequest& request) {
  if (request.framing == BodyFraming::length) {
    const auto length =
        static_cast<std::size_t>(std::min<std::uint64_t>(request.content_length, received.size()));
    request.body.assign(received.substr(0, length));
    received.remove_prefix(length);
  }
  carried_.assign(received);
}

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
    if (!told) co_return gone();
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
  if (ec == asio::error::timed_out) return refuse(408, "The request body did not arrive in time.");
  return gone();
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
    if (ec) co_return refuse(400, "The chunked request body is malformed.");
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

TlsSocket::Wants ClientConnection::write_at_once(Buffers& buffers, error_code& ec) {
  if (!tls_) {
    bytes_written_ += write_now(socket_, buffers, ec);
    return buffers.empty() ? TlsSocket::Wants::nothing : TlsSocket::Wants::writable;
  }
  const std::size_t before = size_of(buffers);
  const auto wants = tls_->write(buffers, ec);
  bytes_written_ += before - size_of(buffers);
  return wants;
}

Awaitable<void> ClientConnection::wait_for(TlsSocket::Wants wants, error_code& ec) {
  if (wants == TlsSocket::Wants::writable)
    co_await socket_.async_wait(Socket::wait_write, to(ec));
  else
    co_await watch_.readable(socket_, ec);
}

// What the kernel did not take at once.
Awaitable<void> ClientConnection::write_rest(Buffers buffers, error_code& ec) {
  auto wants = TlsSocket::Wants::writable;
  while (!ec && wants != TlsSocket::Wants::nothing) {
    co_await wait_for(wants, ec);
    if (!ec) wants = write_at_once(buffers, ec);
  }
}

Awaitable<bool> ClientConnection::write(std::span<const std::string_view> pieces,
                                        TimePoint deadline, Pieces lifetime) {
  Buffers buffers = as_buffers(pieces);
  error_code ec;
  write_at_once(buffers, ec);
  if (!ec && !buffers.empty()) {
    std::string copied;
    if (lifetime == Pieces::passing) {
      copied = copy_of(buffers);
      buffers.assign(1, asio::buffer(copied));
    }
    timed_out_ = false;
    writing_ = true;
    deadline_.arm(deadline);
    co_await write_rest(std::move(buffers), ec);
    deadline_.disarm();
    writing_ = false;
  }
  if (ec) close();
  co_return !ec;
}

void ClientConnection::watch(std::function<void(Ending)> on_ending) {
  on_ending_ = std::move(on_ending);
  watch_.start(socket_);
  // What was read ahead may hold the client's goodbye, and the socket will not tell of it.
  if (tls_ && tls_->has_pending()) second_look_.arm(worker_.now());
}

void ClientConnection::stop_watching() {
  watch_.stop();
  second_look_.disarm();
  on_ending_ = nullptr;
}

void ClientConnection::look_at_peer() {
  if (!on_ending_ || !socket_.is_open()) return;
  const PeerState state = look();
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
  timed_out_ = false;
  deadline_.arm(worker_.now() + kLinger);
  if (tls_) co_await say_goodbye();
  error_code ec;
  socket_.shutdown(Socket::shutdown_send, ec);
  std::size_t dropped = 0;
  while (!ec && dropped < kLingerBytes) {
    co_await watch_.readable(socket_, ec);
    const auto buffer = worker_.read_buffer().use();
    if (!ec) dropped += socket_.read_some(asio::buffer(buffer.data(), buffer.size()), ec);
    if (ec == asio::error::would_block) ec = {};
    if (timed_out_) ec = asio::error::timed_out;
  }
  close();
}

Awaitable<void> ClientConnection::finish() {
  if (tls_ && socket_.is_open()) {
    timed_out_ = false;
    deadline_.arm(worker_.now() + kLinger);
    co_await say_goodbye();
  }
  close();
}

void ClientConnection::close_idle() {
  error_code ignored;
  if (tls_) tls_->say_goodbye(ignored);  // there is room for it, since nothing was sent for a while
  close();
}

Awaitable<void> ClientConnection::say_goodbye() {
  error_code ec;
  auto wants = tls_->say_goodbye(ec);
  while (!ec && wants != TlsSocket::Wants::nothing) {
    co_await wait_for(wants, ec);
    if (timed_out_) ec = asio::error::timed_out;
    if (!ec) wants = tls_->say_goodbye(ec);
  }
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
