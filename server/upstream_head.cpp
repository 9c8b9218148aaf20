#include "server/upstream_head.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "core/body.hpp"
#include "core/head_check.hpp"
#include "server/hop_by_hop.hpp"
#include "server/percent.hpp"
#include "server/upstream_connection.hpp"

namespace spillway::server {

namespace {

constexpr std::string_view kForwarded[] = {
    "accept",         "openai-organization", "openai-project",  "openai-beta",
    "anthropic-beta", "anthropic-version",   "idempotency-key", "traceparent",
    "tracestate",     "user-agent"};
constexpr std::string_view kForwardedPrefix = "x-stainless-";

std::string target_for(const Deployment& deployment, Endpoint endpoint, std::string_view model) {
  constexpr std::string_view kPlaceholder = "{model}";
  std::string target = deployment.targets[static_cast<std::size_t>(endpoint)];
  if (const auto at = target.find(kPlaceholder); at != std::string::npos)
    target.replace(at, kPlaceholder.size(), percent_encoded(model));
  return target;
}

std::string host_field(const Origin& origin) {
  std::string host = bracketed(origin.host);
  const std::uint16_t usual = origin.tls ? 443 : 80;
  if (origin.port != usual) host += ':' + std::to_string(origin.port);
  return host;
}

bool forwarded(std::string_view folded_name) {
  return std::ranges::find(kForwarded, folded_name) != std::end(kForwarded) ||
         folded_name.starts_with(kForwardedPrefix);
}

bool configured(const Deployment& deployment, std::string_view folded_name) {
  return std::ranges::find(deployment.headers, folded_name, &UpstreamHeader::name) !=
         deployment.headers.end();
}

}  // namespace

std::string bracketed(const std::string& host) {
  return host.find(':') == std::string::npos ? host : '[' + host + ']';
}

std::string upstream_head(const Deployment& deployment, Endpoint endpoint,
                          std::string_view upstream_model, const ClientRequest& request,
                          std::size_t body_bytes, const ProxyRoute* plain_proxy) {
  const std::string host = host_field(deployment.origin);
  const std::string target = target_for(deployment, endpoint, upstream_model);
  std::string head;
  head.reserve(1024);
  fmt::format_to(std::back_inserter(head),
                 "POST {}{}{} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n"
                 "Accept-Encoding: identity\r\n",
                 plain_proxy ? "http://" : "", plain_proxy ? host : "", target, host, body_bytes);
  if (!configured(deployment, "content-type")) head.append("Content-Type: application/json\r\n");
  if (plain_proxy && !plain_proxy->authorization.empty())
    head.append("Proxy-Authorization: ").append(plain_proxy->authorization).append("\r\n");
  for (const UpstreamHeader& field : deployment.headers)
    head.append(field.name).append(": ").append(field.value.reveal()).append("\r\n");
  for (const HeaderView& field : request.headers) {
    const std::string name = fold(field.name);
    if (!forwarded(name) || configured(deployment, name) || !safe_header_value(field.value) ||
        named_in_connection(request.headers, name))
      continue;
    head.append(name).append(": ").append(field.value).append("\r\n");
  }
  head.append("\r\n");
  return head;
}

}  // namespace spillway::server
