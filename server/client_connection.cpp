#include "server/client_connection.hpp"

#include <algorithm>
#include <utility>

#include "server/gateway.hpp"
#include "server/worker.hpp"

namespace spillway::server {

namespace {

constexpr Duration kSecondLook = milliseconds(500);
using ReadFault = ClientConnection::ReadFault;

// An accepted target in origin-form.
std::string_view without_authority(std::string_view target) {
  const auto scheme = target.find("://");
  if (scheme == std::string_view::npos || target.starts_with('/')) return target;
  const auto end = target.find_first_of("/?", scheme + 3);
  if (end == std::string_view::npos) return "/";
  return target.substr(end);
}

}  // namespace

ClientConnection::ClientConnection(Worker& worker, Descriptor socket)
    : worker_(worker),
      socket_(worker.loop(), [this] { look_at_peer(); }),
      deadline_(worker.deadlines(),
                [this] {
                  timed_out_ = true;
                  // A client that is slow to send can still be told so; one that does not read
                  // cannot, and a cancelled write might go on with its next piece.
                  if (writing_)
                    socket_.close();
                  else
                    socket_.cancel();
                }),
      second_look_(worker.deadlines(), [this] { look_at_peer(); }) {
  socket_.open(std::move(socket));
  tls_ = worker.gateway().make_tls(socket_);
  error_code ec;
  const auto endpoint = socket_.peer(ec);
  if (!ec) peer_ = endpoint.address().to_string();
}

std::size_t ClientConnection::read_at_once(std::span<char> room, error_code& ec) {
  if (!tls_) return socket_.read_some(room, ec);
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
    co_await worker_.loop().others_first();
  }
  while (ec == asio::error::would_block) {
    reads_without_wait_ = 0;
    co_await socket_.readable(ec);
    if (!ec) n = read_at_once(room, ec);
  }
  if (timed_out_) ec = asio::error::timed_out;
  co_return n;
}

void ClientConnection::expect_request(const Config& config) {
  timed_out_ = false;
  idle_ = carried_.empty();
  deadline_.arm(worker_.now() +
                (first_ || !idle_ ? config.timeouts.head : config.timeouts.keepalive));
}

void ClientConnection::begin_wait(coroutine::Chain::Waiting waiting) {
  wait_error_ = {};
  // Whoever sends ahead lets others have their turn between its requests.
  if (!carried_.empty() || (tls_ && tls_->has_pending()))
    return worker_.loop().let_others_first(std::move(waiting));
  socket_.wait_readable(wait_error_, std::move(waiting));
}

Awaitable<std::optional<ReadFault>> ClientConnection::read_head(const Config& config,
                                                                ClientRequest& request) {
  const HeadLimits limits{config.limits.head, config.limits.headers};
  RequestHeadCheck check(limits, &request.fields);
  // Usually a head comes in one piece, and is not copied here.
  std::string begun = std::exchange(carried_, {});
  std::string_view received = begun;
  bool at_hand = begun.empty() || (tls_ && tls_->has_pending());
  while (check.feed(received) == RequestHeadCheck::State::need_more) {
    if (begun.empty()) received = begun = received;  // out of the read buffer, before waiting
    error_code ec = std::exchange(wait_error_, {});
    if (!at_hand) co_await socket_.readable(ec);
    const auto buffer = worker_.read_buffer().use();
    std::size_t n = 0;
    if (!ec) n = read_at_once(buffer, ec);
    at_hand = tls_ && n == buffer.size();
    if (timed_out_) ec = asio::error::timed_out;
    if (ec == asio::error::would_block) continue;
    if (ec == asio::error::timed_out && !begun.empty())
      co_return ReadFault::refuse(408, "The request head did not arrive in time.");
    if (ec) co_return ReadFault::gone();
    if (request.fields.capacity() == 0) worker_.request_memory().lend(request);
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
    if (received.size() < request.content_length)
      request.body.reserve(static_cast<std::size_t>(
          std::min<std::uint64_t>(request.content_length, kBodyStepBytes)));
    request.body.assign(received.substr(0, length));
    received.remove_prefix(length);
  }
  carried_.assign(received);
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
    co_await socket_.writable(ec);
  else
    co_await socket_.readable(ec);
}

// What the socket did not take at once.
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
  socket_.watch();
  // What was read ahead may hold the client's goodbye, and the socket will not tell of it.
  if (tls_ && tls_->has_pending()) second_look_.arm(worker_.now());
}

void ClientConnection::stop_watching() {
  socket_.unwatch();
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
    socket_.watch();
  }
}

void ClientConnection::close() {
  stop_watching();
  deadline_.disarm();
  socket_.close();
}

void ClientConnection::end(Ending why) {
  if (const auto on_ending = std::exchange(on_ending_, nullptr))
    on_ending(why);
  else
    close();
}

}  // namespace spillway::server
