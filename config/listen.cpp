#include "config/listen.hpp"

#include <algorithm>
#include <boost/url/ipv4_address.hpp>
#include <boost/url/ipv6_address.hpp>

#include "config/scalars.hpp"

namespace spillway::config {

namespace {

boost::core::string_view view(std::string_view text) {
  return {text.data(), text.size()};
}

bool is_host_name(std::string_view text) {
  return !text.empty() && text.size() <= 253 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_';
  });
}

}  // namespace

std::optional<ListenAddress> parse_listen(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const auto port = parse_count(text.substr(colon + 1));
  if (!port || *port > 65535) return std::nullopt;
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
    if (!boost::urls::parse_ipv6_address(view(host))) return std::nullopt;
  } else if (!is_host_name(host)) {
    return std::nullopt;
  }
  return ListenAddress{std::string(host), static_cast<std::uint16_t>(*port)};
}

bool is_loopback(std::string_view host) {
  if (host == "localhost") return true;
  if (const auto v4 = boost::urls::parse_ipv4_address(view(host))) return v4->is_loopback();
  if (const auto v6 = boost::urls::parse_ipv6_address(view(host))) return v6->is_loopback();
  return false;
}

}  // namespace spillway::config
