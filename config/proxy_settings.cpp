#include "config/proxy_settings.hpp"

#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>
#include <string>
#include <vector>

namespace spillway::config {

namespace {

std::string proxy(Context& context, const std::vector<std::string>& names) {
  const auto value = first_variable(context.variables, names);
  if (!value) return {};
  const std::string url = value->find("://") == std::string::npos ? "http://" + *value : *value;
  const auto parsed = boost::urls::parse_uri(url);
  if (!parsed || parsed->scheme() != "http" || parsed->host_address().empty()) {
    context.report.fault({}, names.back(),
                         "must be a proxy such as http://host:port; other kinds are not supported");
    return {};
  }
  return url;
}

std::vector<std::string> exceptions(std::string_view text) {
  std::vector<std::string> out;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find_first_of(", \t", begin), text.size());
    std::string item(text.substr(begin, end - begin));
    for (char& c : item) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    if (item.starts_with("*.")) item.erase(0, 1);
    if (!item.empty()) out.push_back(std::move(item));
    begin = end + 1;
  }
  return out;
}

}  // namespace

ProxySettings read_proxies(Context& context) {
  ProxySettings out;
  out.https_proxy = proxy(context, {"https_proxy", "HTTPS_PROXY"});
  out.http_proxy = proxy(context, {"http_proxy", "HTTP_PROXY"});
  const std::vector<std::string> names{"no_proxy", "NO_PROXY"};
  out.no_proxy = exceptions(first_variable(context.variables, names).value_or(""));
  return out;
}

}  // namespace spillway::config
