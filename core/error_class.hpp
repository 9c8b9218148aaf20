// What went wrong, as a type. Routing, cooldown and the client's answer follow from this alone,
// never from the words of a message (DESIGN.md sections 1 and 4).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace spillway {

enum class ErrorClass : std::uint8_t {
  invalid_request,
  context_window_exceeded,
  content_policy_violation,
  authentication,
  permission_denied,
  not_found,
  conflict,
  unprocessable,
  rate_limit,
  quota_exhausted,
  timeout,
  internal,
  bad_gateway,
  unavailable,
  connection,
  protocol,
  client_closed,
};

inline constexpr std::size_t kErrorClassCount = 17;

// The name used in logs, metrics and configuration: "rate_limit", "context_window_exceeded", ...
std::string_view name(ErrorClass error_class);

// The `error.type` a client sees for the class: "rate_limit_error", "invalid_request_error", ...
std::string_view openai_type(ErrorClass error_class);

// The HTTP status a client gets when the upstream did not name one: 429, 502, ...
int default_status(ErrorClass error_class);

}  // namespace spillway
