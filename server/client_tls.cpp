#include <fmt/format.h>
#include <openssl/err.h>

#include <algorithm>
#include <boost/asio/ssl/error.hpp>

#include "core/bounds.hpp"
#include "server/client_connection.hpp"
#include "server/log.hpp"
#include "server/metrics.hpp"
#include "server/worker.hpp"

// How a client's connection begins over TLS, and how it ends well.
namespace spillway::server {

namespace {

constexpr Duration kLinger = seconds(2);
constexpr Duration kRestTimeout = seconds(60);  // as for answers of the gateway's own
constexpr std::size_t kLingerBytes = 4 * 1024 * 1024;
constexpr std::string_view kPlainText =
    "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 35\r\n"
    "Connection: close\r\n\r\nThis port speaks HTTPS, not HTTP.\r\n";
}  // namespace

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
