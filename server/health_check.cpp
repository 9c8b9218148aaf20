#include "server/health_check.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/write.hpp>
#include <memory>
#include <string_view>

#include "server/asio.hpp"

namespace spillway::server {

namespace {

constexpr timeval kPatience{3, 0};
constexpr std::string_view kRequest =
    "GET /health/readiness HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
constexpr const char* kNotReady = "not ready";

bool is_ready(std::string_view answer) {
  return answer.starts_with("HTTP/1.1 200");
}

std::string connect(const std::string& listen, AsioSocket& socket) {
  const auto colon = listen.rfind(':');
  if (colon == std::string::npos) return "not HOST:PORT";
  std::string host = listen.substr(0, colon);
  if (host == "0.0.0.0" || host == "localhost" || host.empty()) host = "127.0.0.1";
  if (host == "[::]" || host == "::") host = "::1";
  if (host.starts_with('[')) host = host.substr(1, host.size() - 2);
  error_code ec;
  const auto address = asio::ip::make_address(host, ec);
  if (ec) return "not an address";
  const int port = std::atoi(listen.c_str() + colon + 1);
  const Tcp::endpoint endpoint(address, static_cast<std::uint16_t>(port));
  socket.open(endpoint.protocol(), ec);
  ::setsockopt(socket.native_handle(), SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience);
  ::setsockopt(socket.native_handle(), SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof kPatience);
  socket.connect(endpoint, ec);
  return ec ? ec.message() : "";
}

std::string ask_in_plain_text(AsioSocket& socket) {
  error_code ignored;
  asio::write(socket, asio::buffer(kRequest), ignored);
  std::string answer(512, '\0');
  const auto n = ::recv(socket.native_handle(), answer.data(), answer.size(), 0);
  answer.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  return answer;
}

// It is this machine's own gateway, which is asked for nothing secret and told nothing: whose
// certificate it shows does not matter.
std::string ask_encrypted(AsioSocket& socket) {
  const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(SSL_CTX_new(TLS_client_method()),
                                                                  &SSL_CTX_free);
  const std::unique_ptr<SSL, decltype(&SSL_free)> ssl(SSL_new(context.get()), &SSL_free);
  SSL_set_fd(ssl.get(), socket.native_handle());
  char answer[64];
  std::size_t n = 0;
  const bool answered = SSL_connect(ssl.get()) == 1 &&
                        SSL_write(ssl.get(), kRequest.data(), kRequest.size()) > 0 &&
                        SSL_read_ex(ssl.get(), answer, sizeof answer, &n) == 1;
  if (answered) return is_ready({answer, n}) ? "" : kNotReady;
  const auto error = ERR_peek_error();
  if (ERR_GET_REASON(error) == SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED) return "";
  return kNotReady;
}

}  // namespace

std::string health_check(const std::string& listen, Encryption encryption) {
  asio::io_context io(1);
  if (encryption == Encryption::unknown) {
    AsioSocket socket(io);
    const std::string problem = connect(listen, socket);
    if (!problem.empty()) return problem;
    const std::string answer = ask_in_plain_text(socket);
    if (is_ready(answer)) return "";
    if (answer.find("HTTPS") == std::string::npos) return kNotReady;
  }
  AsioSocket socket(io);
  const std::string problem = connect(listen, socket);
  return problem.empty() ? ask_encrypted(socket) : problem;
}

}  // namespace spillway::server
