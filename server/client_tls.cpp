#include <fmt/format.h>
#include <openssl/err.h>

#include <algorithm>
#include <boost/asio/ssl/error.hpp>

#include "core/bounds.hpp"
#include "server/client_connection.hpp"
#include "server/log.hpp"
#include "server/metrics.hpp"
#include "server/worker.hpp"

// How a client's connection begins over TLS.
namespace spillway::server {

namespace {

constexpr Duration kPlainTextTimeout = seconds(2);
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
    const bool told = co_await write(std::span(&kPlainText, 1), worker_.now() + kPlainTextTimeout);
    if (!told) co_return;
  }
  co_await linger();  // or the alert that says why would be lost
}

}  // namespace spillway::server
