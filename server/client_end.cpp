#include "server/client_connection.hpp"
#include "server/worker.hpp"

// How a client's connection ends: well, or so that a cut answer does not look whole.
namespace spillway::server {

namespace {

constexpr Duration kLinger = seconds(2);
constexpr Duration kRestTimeout = seconds(60);  // as for answers of the gateway's own
constexpr std::size_t kLingerBytes = 4 * 1024 * 1024;

}  // namespace

Awaitable<void> ClientConnection::linger() {
  if (!socket_.flush()) co_await give_rest(worker_.now() + kRestTimeout);
  timed_out_ = false;
  deadline_.arm(worker_.now() + kLinger);
  if (tls_) co_await say_goodbye();
  error_code ec;
  socket_.end_sending(ec);
  std::size_t dropped = 0;
  while (!ec && dropped < kLingerBytes) {
    co_await socket_.readable(ec);
    const auto buffer = worker_.read_buffer().use();
    if (!ec) dropped += socket_.read_some(buffer, ec);
    if (ec == asio::error::would_block) ec = {};
    if (timed_out_) ec = asio::error::timed_out;
  }
  close();
}

Awaitable<void> ClientConnection::finish() {
  if (!socket_.flush()) co_await give_rest(worker_.now() + kRestTimeout);
  if (tls_ && socket_.is_open()) {
    timed_out_ = false;
    deadline_.arm(worker_.now() + kLinger);
    co_await say_goodbye();
    if (!socket_.flush()) co_await give_rest(worker_.now() + kLinger);
  }
  close();
}

void ClientConnection::end_loudly(bool loud) {
  if (!tls_) socket_.end_loudly(loud);  // over TLS the goodbye is missing
}

Awaitable<void> ClientConnection::give_rest(TimePoint deadline) {
  timed_out_ = false;
  deadline_.arm(deadline);
  error_code ec;
  while (!ec && !socket_.flush()) {
    co_await socket_.writable(ec);
    if (timed_out_) ec = asio::error::timed_out;
  }
  deadline_.disarm();
}

void ClientConnection::close_idle() {
  if (!socket_.flush()) {  // whoever waits for the next request goes on, to finish()
    timed_out_ = true;
    return socket_.cancel();
  }
  error_code ignored;
  if (tls_) tls_->say_goodbye(ignored);  // there is room for it
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

}  // namespace spillway::server
