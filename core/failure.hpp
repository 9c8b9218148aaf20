// How an attempt failed: one value that carries everything later decisions and the client's answer
// need.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/error_class.hpp"
#include "core/time.hpp"

namespace spillway {

// Where a retry hint was found; a metric label. Order is DESIGN.md section 5's precedence.
enum class HintSource : std::uint8_t {
  retry_after_ms,
  retry_after_seconds,
  retry_after_date,
  ratelimit_reset,  // x-ratelimit-reset-*, anthropic-ratelimit-*-reset
  body,             // RetryInfo.retryDelay, quotaResetDelay, retry_after
  message,          // "Please try again in 1m2.5s"
};
inline constexpr std::size_t kHintSourceCount = 6;
std::string_view name(HintSource source);

struct RetryHint {
  Duration delay{};  // > 0, <= bounds::kHintCap
  HintSource source{};
  bool operator==(const RetryHint&) const = default;
};

struct Failure {
  ErrorClass error_class{};
  int status = 502;     // what the client would be answered with
  std::string type;     // error.type for the client
  std::string code;     // error.code for the client; empty means null
  std::string param;    // error.param for the client; empty means null
  std::string message;  // for callers: no secrets, bounded by bounds::kErrorMessageBytes
  std::string detail;   // for logs: phase, cause, upstream status; no secrets either
  std::optional<RetryHint> hint;
  int upstream_status = 0;  // 0: there was no HTTP answer
  // A 403 or 404 whose code names the model or the credential is the deployment's fault, else the
  // client's.
  bool concerns_deployment = false;
  // A 401 about the organization or project that was named, which may have been the client's.
  bool about_account = false;
  // The deadline that passed was one the client asked for: it counts against nobody.
  bool client_deadline = false;
  // It says nothing about the deployment: the gateway itself ran out of something, or a stream that
  // was to continue another's said something else.
  bool excused = false;
};

}  // namespace spillway
