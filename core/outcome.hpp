// What an attempt ended in, before it is classified. An HTTP answer with a status can never become
// a connection error: they are different alternatives of the same variant (DESIGN.md section 1).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "core/failure.hpp"
#include "core/time.hpp"

namespace spillway {

// A header field as it was received; views into the head's buffer.
struct HeaderView {
  std::string_view name;
  std::string_view value;
};
using Headers = std::span<const HeaderView>;

// The value of the first field called `name` (ASCII case ignored), or nullopt.
std::optional<std::string_view> find_header(Headers headers, std::string_view name);

// An HTTP response with a status that is not a success.
struct HttpAnswer {
  int status = 0;
  Headers headers;
  std::string_view body;  // as much as was read, at most bounds::kErrorBodyBytes
};

enum class TransportPhase : std::uint8_t {
  resolve,
  connect,
  tls,
  send,
  await_head,
  await_first_token,
  body,
  idle,
};
std::string_view name(TransportPhase phase);

enum class TransportCause : std::uint8_t {
  failed,     // refused, reset, closed, unresolvable, certificate not trusted: `detail` says which
  timed_out,  // our deadline for the phase passed
  exhausted,  // the gateway itself has no descriptor, port or memory left for the call
};

// There was no (complete) HTTP answer.
struct TransportFailure {
  TransportPhase phase{};
  TransportCause cause{};
  std::string detail;            // for logs
  bool client_deadline = false;  // the deadline was the client's own
};

// Junk, truncation, contradictory framing, a redirect, a 200 that is not what was asked for.
struct ProtocolViolation {
  std::string detail;
};

// An error object found inside a 200 answer or a stream event. `body` is the JSON text that holds
// it:
// {"error":{...}}, {"error":"..."}, [{"error":{...}}], {"object":"error",...},
// {"type":"error","error":{...}},
// {"type":"response.failed","response":{"error":{...}}}, or a bare {"code":...,"message":...}.
struct InBandError {
  std::string_view body;
  Headers headers;
};

using AttemptOutcome = std::variant<HttpAnswer, TransportFailure, ProtocolViolation, InBandError>;

// Names the deployment in messages for callers; both come from the configuration.
struct UpstreamName {
  std::string_view provider;    // "groq"
  std::string_view deployment;  // its id
};

// Pure: DESIGN.md section 4's error table. `now` is only for HTTP dates in hints.
Failure classify(const AttemptOutcome& outcome, const UpstreamName& upstream, WallTime now);

// The first hint that parses, in DESIGN.md section 5's order; clamped; a hint of 0 is no hint.
std::optional<RetryHint> find_retry_hint(Headers headers, std::string_view json_body,
                                         std::string_view message, WallTime now);
// False: it does not look at headers of that name.
bool may_tell_hint(std::string_view header_name);

// The OpenAI error body, {"error":{"message","type","param","code"}}, without a trailing newline.
std::string error_body(const Failure& failure);

}  // namespace spillway
