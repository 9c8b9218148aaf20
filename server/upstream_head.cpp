#include "server/upstream_head.hpp"

#include <algorithm>
#include <iterator>

#include "core/ascii.hpp"
#include "core/body.hpp"
#include "core/head_check.hpp"
#include "server/answer.hpp"
#include "server/append.hpp"
#include "server/hop_by_hop.hpp"
#include "server/percent.hpp"
#include "server/upstream_connection.hpp"

namespace spillway::server {

namespace {

constexpr std::size_t kUsualHeadBytes = 768;

constexpr std::string_view kForwarded[] = {
    "accept",         "openai-organization", "openai-project",  "openai-beta",
    "anthropic-beta", "anthropic-version",   "idempotency-key", "traceparent",
    "tracestate",     "user-agent"};
constexpr std::string_view kForwardedPrefix = "x-stainless-";

void append_target(std::string& head, const std::string& target, std::string_view model) {
  constexpr std::string_view kPlaceholder = "{model}";
  const auto at = target.find(kPlaceholder);
  if (at == std::string::npos) {
    head.append(target);
    return;
  }
  head.append(target, 0, at).append(percent_encoded(model));
  head.append(target, at + kPlaceholder.size());
}

// A bit for each length that a name of kForwarded has: most names have none of them.
constexpr std::uint32_t kForwardedLengths = [] {
  std::uint32_t lengths = 0;
  for (const std::string_view name : kForwarded) lengths |= 1U << name.size();
  return lengths;
}();

bool forwarded(std::string_view name) {
  const bool length_fits = name.size() < 32 && (kForwardedLengths >> name.size() & 1U) != 0;
  return starts_with_ignoring_case(name, kForwardedPrefix) ||
         (length_fits && std::ranges::any_of(kForwarded, [name](std::string_view known) {
            return equals_ignoring_case(name, known);
          }));
}

bool configured(const Deployment& deployment, std::string_view folded_name) {
  return std::ranges::find(deployment.headers, folded_name, &UpstreamHeader::name) !=
         deployment.headers.end();
}

}  // namespace

std::string bracketed(const std::string& host) {
  return host.find(':') == std::string::npos ? host : '[' + host + ']';
}

std::string upstream_head(const PreparedHeads& prepared, const Config& config,
                          DeploymentIndex asked, Endpoint endpoint, std::string_view upstream_model,
                          const ClientRequest& request, std::size_t body_bytes,
                          const ProxyRoute* plain_proxy) {
  const Deployment& deployment = config.at(asked);
  std::string head;
  head.reserve(kUsualHeadBytes);
  append_all(head, "POST ");
  if (plain_proxy) append_all(head, "http://", host_field(deployment.origin));
  append_target(head, deployment.targets[static_cast<std::size_t>(endpoint)], upstream_model);
  append_all(head, " HTTP/1.1\r\n", prepared.upstream(asked).reveal());
  append_header(head, "Content-Length", std::uint64_t{body_bytes});
  if (plain_proxy && !plain_proxy->authorization.empty())
    head.append("Proxy-Authorization: ").append(plain_proxy->authorization).append("\r\n");
  for (const HeaderView& field : request.headers) {
    if (!forwarded(field.name) || !safe_header_value(field.value)) continue;
    const std::string name = fold(field.name);
    if (configured(deployment, name) || named_in_connection(request.headers, name)) continue;
    append_all(head, name, ": ", field.value, "\r\n");
  }
  append_all(head, "\r\n");
  return head;
}

}  // namespace spillway::server
