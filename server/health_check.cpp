#include "server/health_check.hpp"

#include <sys/socket.h>
#include <sys/time.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/write.hpp>
#include <string_view>

#include "server/asio.hpp"

namespace spillway::server {

namespace {

constexpr timeval kPatience{3, 0};
constexpr std::string_view kRequest =
    "GET /health/readiness HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

}  // namespace

std::string health_check(const std::string& listen) {
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
  asio::io_context io(1);
  Socket socket(io);
  const Tcp::endpoint endpoint(address, static_cast<std::uint16_t>(port));
  socket.open(endpoint.protocol(), ec);
  ::setsockopt(socket.native_handle(), SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience);
  ::setsockopt(socket.native_handle(), SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof kPatience);
  socket.connect(endpoint, ec);
  if (ec) return ec.message();
  asio::write(socket, asio::buffer(kRequest), ec);
  char answer[64];
  const auto n = ::recv(socket.native_handle(), answer, sizeof answer, 0);
  const std::string_view text(answer, n > 0 ? static_cast<std::size_t>(n) : 0);
  return text.starts_with("HTTP/1.1 200") ? "" : "not ready";
}

}  // namespace spillway::server
