#include "config/base_url.hpp"

#include <fmt/format.h>

#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>

#include "core/http_syntax.hpp"

namespace spillway::config {

namespace {

std::string lower(std::string text) {
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return text;
}

void remove_suffix(std::string& text, std::string_view suffix) {
  if (text.ends_with(suffix)) text.resize(text.size() - suffix.size());
}

// Single slashes, none at the end.
std::string tidy_path(std::string_view path) {
  std::string out;
  for (const char c : path) {
    if (c != '/' || !out.ends_with('/')) out += c;
  }
  remove_suffix(out, "/");
  remove_suffix(out, "/chat/completions");
  return out;
}

}  // namespace

std::expected<BaseUrl, std::string> parse_base_url(std::string_view text) {
  const auto parsed = boost::urls::parse_uri(boost::core::string_view(text.data(), text.size()));
  if (!parsed) return std::unexpected("is not a URL such as https://host/v1");
  const boost::urls::url_view& url = *parsed;
  const std::string scheme = lower(url.scheme());
  if (scheme != "https" && scheme != "http")
    return std::unexpected("must begin with https:// or http://");
  if (!url.has_authority() || url.host_address().empty()) return std::unexpected("names no host");
  if (url.has_userinfo()) {
    return std::unexpected("must not hold a user name or password; use api_key or extra_headers");
  }
  if (url.has_query())
    return std::unexpected("must not hold a query (\"?...\"); use api_version for Azure");
  if (url.has_fragment()) return std::unexpected("must not hold a fragment (\"#...\")");
  if (url.has_port() && !url.port().empty() && url.port_number() == 0) {
    return std::unexpected("holds a port that is not between 1 and 65535");
  }
  BaseUrl out;
  out.origin.tls = scheme == "https";
  out.origin.host = lower(url.host_address());
  for (const char c : out.origin.host) {
    if (static_cast<unsigned char>(c) <= ' ' || static_cast<unsigned char>(c) >= 0x7F) {
      return std::unexpected("holds a host name that is not ASCII");
    }
  }
  const bool numeric_ipv6 = out.origin.host.find(':') != std::string::npos;
  if (!numeric_ipv6 && !http::is_host(out.origin.host))
    return std::unexpected("holds a host name that is none, such as one with an empty label");
  const std::uint16_t standard = out.origin.tls ? 443 : 80;
  out.origin.port = url.has_port() && !url.port().empty() ? url.port_number() : standard;
  const auto path = url.encoded_path();
  out.path = tidy_path(std::string_view(path.data(), path.size()));
  return out;
}

std::string to_string(const Origin& origin) {
  const bool v6 = origin.host.find(':') != std::string::npos;
  const bool standard = origin.port == (origin.tls ? 443 : 80);
  return fmt::format("{}://{}{}{}{}", origin.tls ? "https" : "http", v6 ? "[" : "", origin.host,
                     v6 ? "]" : "", standard ? "" : fmt::format(":{}", origin.port));
}

}  // namespace spillway::config
