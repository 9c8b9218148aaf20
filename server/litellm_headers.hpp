// The x-litellm-* response headers, beside our own, for clients and dashboards that read them
// (`spillway.litellm_headers`).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/config.hpp"
#include "core/endpoint.hpp"
#include "core/time.hpp"

namespace spillway::server {

struct LitellmHeaders {
  std::string_view call_id;
  std::string_view model_group;
  // Only on success, as in LiteLLM.
  const Deployment* deployment = nullptr;
  Endpoint endpoint = Endpoint::chat_completions;
  unsigned attempts = 0;
  unsigned fallbacks = 0;
  Duration response_duration{};
  std::optional<Duration> overhead{};
};

// Complete lines.
std::string litellm_headers(const LitellmHeaders& about);

// Where the deployment's endpoints are: scheme, host, port and path; no query, which may hold a
// credential.
std::string api_base(const Deployment& deployment, Endpoint endpoint);

}  // namespace spillway::server
