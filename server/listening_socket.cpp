#include "server/listening_socket.hpp"

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "server/upstream_head.hpp"

namespace spillway::server {

namespace {

constexpr int kBacklog = 4096;

bool is_listening_stream(int socket) {
  const auto option = [socket](int name) {
    int value = 0;
    socklen_t size = sizeof value;
    return ::getsockopt(socket, SOL_SOCKET, name, &value, &size) == 0 ? value : -1;
  };
  return option(SO_ACCEPTCONN) == 1 && option(SO_TYPE) == SOCK_STREAM;
}

// -1: something else.
int family_of(int socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) return -1;
  return address.ss_family;
}

}  // namespace

std::expected<Acceptor, std::string> open_listening_socket(asio::io_context& io,
                                                           const std::string& host,
                                                           std::uint16_t port) {
  error_code ec;
  const auto address = asio::ip::make_address(host == "localhost" ? "127.0.0.1" : host, ec);
  const auto refused = [&](std::string_view what) {
    return std::unexpected(
        fmt::format("cannot listen on {}:{}: {} ({})", host, port, what, ec.message()));
  };
  if (ec) return refused("not an address");
  const Tcp::endpoint endpoint(address, port);
  Acceptor acceptor(io);
  acceptor.open(endpoint.protocol(), ec);
  if (ec) return refused("no socket");
  acceptor.set_option(Acceptor::reuse_address(true), ec);
  acceptor.bind(endpoint, ec);
  if (ec) return refused("the address cannot be bound");
  acceptor.listen(kBacklog, ec);
  if (ec) return refused("the socket cannot listen");
  return acceptor;
}

std::expected<Acceptor, std::string> adopt_listening_socket(asio::io_context& io, int socket) {
  Acceptor acceptor(io);
  const int family = family_of(socket);
  error_code ec = asio::error::operation_not_supported;
  if (is_listening_stream(socket) && (family == AF_INET || family == AF_INET6))
    acceptor.assign(family == AF_INET ? Tcp::v4() : Tcp::v6(), socket, ec);
  if (!ec) return acceptor;
  ::close(socket);
  return std::unexpected(std::string("the socket that was handed over does not listen for TCP"));
}

int take_socket(std::vector<NamedSocket>& sockets, Audience audience) {
  const auto found = std::ranges::find_if(sockets, [audience](const NamedSocket& socket) {
    return (socket.name == kAdminSocket) == (audience == Audience::operators);
  });
  if (found == sockets.end()) return -1;
  const int descriptor = found->descriptor;
  sockets.erase(found);
  return descriptor;
}

std::string address_of(const Acceptor& acceptor) {
  error_code ec;
  const Tcp::endpoint endpoint = acceptor.local_endpoint(ec);
  return fmt::format("{}:{}", bracketed(endpoint.address().to_string()), endpoint.port());
}

bool is_exposed(const Acceptor& acceptor) {
  error_code ec;
  return !acceptor.local_endpoint(ec).address().is_loopback();
}

}  // namespace spillway::server
