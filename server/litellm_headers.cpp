#include "server/litellm_headers.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "server/answer.hpp"
#include "server/upstream_head.hpp"

namespace spillway::server {

namespace {

std::string in_ms(Duration duration) {
  using Milliseconds = std::chrono::duration<double, std::milli>;
  return fmt::format("{:.3f}", std::max(Milliseconds(duration).count(), 0.0));
}

}  // namespace

std::string api_base(const Deployment& deployment, Endpoint endpoint) {
  const Origin& origin = deployment.origin;
  std::string_view path = deployment.targets[static_cast<std::size_t>(endpoint)];
  path = path.substr(0, path.find('?'));
  const std::string_view suffix = traits(endpoint).path;
  if (path.ends_with(suffix)) path.remove_suffix(suffix.size());
  const bool usual = origin.port == (origin.tls ? 443 : 80);
  return fmt::format("{}://{}{}{}", origin.tls ? "https" : "http", bracketed(origin.host),
                     usual ? std::string() : fmt::format(":{}", origin.port), path);
}

std::string litellm_headers(const LitellmHeaders& about) {
  std::string lines;
  append_header(lines, "x-litellm-call-id", about.call_id);
  append_header(lines, "x-litellm-model-group", about.model_group);
  if (about.deployment == nullptr) return lines;
  append_header(lines, "x-litellm-model-id", about.deployment->id);
  append_header(lines, "x-litellm-model-api-base", api_base(*about.deployment, about.endpoint));
  // Each group's first call is not a retry.
  const unsigned first_calls = about.fallbacks + 1;
  const unsigned retries = about.attempts - std::min(about.attempts, first_calls);
  append_header(lines, "x-litellm-attempted-retries", std::uint64_t{retries});
  append_header(lines, "x-litellm-attempted-fallbacks", std::uint64_t{about.fallbacks});
  append_header(lines, "x-litellm-response-duration-ms", in_ms(about.response_duration));
  if (about.overhead)
    append_header(lines, "x-litellm-overhead-duration-ms", in_ms(*about.overhead));
  return lines;
}

}  // namespace spillway::server
