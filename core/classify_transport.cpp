#include "core/classify_transport.hpp"

#include <fmt/format.h>
#include <algorithm>

#include "core/bounds.hpp"

namespace spillway {
namespace {

ErrorClass class_of_transport(const TransportFailure& failure) {
  const bool timed_out = failure.cause == TransportCause::timed_out;
  switch (failure.phase) {
    case TransportPhase::resolve:
    case TransportPhase::connect:
    case TransportPhase::tls:
      return ErrorClass::connection;
    case TransportPhase::send:
    case TransportPhase::await_head:
      return timed_out ? ErrorClass::timeout : ErrorClass::connection;
    case TransportPhase::await_first_token:
    case TransportPhase::body:
    case TransportPhase::idle:  // a head was received: what is missing is the rest of the answer
      return timed_out ? ErrorClass::timeout : ErrorClass::protocol;
  }
  return ErrorClass::connection;
}

// What went wrong in words for a caller: which phase, no address, no library's text.
std::string_view describe(TransportPhase phase, TransportCause cause) {
  const bool timed_out = cause == TransportCause::timed_out;
  switch (phase) {
    case TransportPhase::resolve:
      return timed_out ? "its host name was not resolved in time"
                       : "its host name could not be resolved";
    case TransportPhase::connect:
      return timed_out ? "no connection could be made in time" : "the connection could not be made";
    case TransportPhase::tls:
      return timed_out ? "the TLS handshake was not done in time" : "the TLS handshake failed";
    case TransportPhase::send:
      return timed_out ? "it did not take the request in time"
                       : "the connection was lost while the request was sent";
    case TransportPhase::await_head:
      return timed_out ? "it did not begin to answer in time"
                       : "the connection was lost before an answer began";
    case TransportPhase::await_first_token:
      return timed_out ? "it sent no first token in time"
                       : "the connection was lost before the first token";
    case TransportPhase::body:
      return timed_out ? "its answer was not complete in time"
                       : "the connection was lost in the middle of the answer";
    case TransportPhase::idle:
      return timed_out ? "it stopped sending in the middle of the answer"
                       : "the connection was lost in the middle of the answer";
  }
  return "the call failed";
}

}  // namespace

namespace {

Failure no_capacity(const TransportFailure& transport) {
  Failure failure;
  failure.error_class = ErrorClass::unavailable;
  failure.status = default_status(failure.error_class);
  failure.type = openai_type(failure.error_class);
  failure.code = "over_capacity";
  failure.message = "The gateway has no capacity left for another call.";
  failure.detail = presentable_message(transport.detail);
  failure.excused = true;
  return failure;
}

}  // namespace

Failure classify_transport(const TransportFailure& transport, const UpstreamName& upstream) {
  const bool timed_out = transport.cause == TransportCause::timed_out;
  if (transport.cause == TransportCause::exhausted) return no_capacity(transport);
  Failure failure;
  failure.error_class = class_of_transport(transport);
  failure.status = timed_out ? 504 : default_status(failure.error_class);
  failure.type = openai_type(failure.error_class);
  failure.message = fmt::format("Provider {} could not be used: {}.", upstream.provider,
                                describe(transport.phase, transport.cause));
  failure.detail = presentable_message(fmt::format(
      "{} {}: {}", name(transport.phase), timed_out ? "timed out" : "failed", transport.detail));
  failure.client_deadline = transport.client_deadline;
  return failure;
}

std::string presentable_message(std::string text) {
  if (text.size() > bounds::kErrorMessageBytes) {
    std::size_t end = bounds::kErrorMessageBytes;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
    text.resize(end);
  }
  std::ranges::replace_if(
      text, [](unsigned char c) { return c < 0x20 || c == 0x7f; }, ' ');
  return text;
}

}  // namespace spillway
