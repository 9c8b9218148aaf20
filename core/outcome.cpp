#include "core/outcome.hpp"

#include <nlohmann/json.hpp>

#include "core/ascii.hpp"

namespace spillway {

std::string_view name(TransportPhase phase) {
  switch (phase) {
    case TransportPhase::resolve:
      return "resolve";
    case TransportPhase::connect:
      return "connect";
    case TransportPhase::tls:
      return "tls";
    case TransportPhase::send:
      return "send";
    case TransportPhase::await_head:
      return "await_head";
    case TransportPhase::await_first_token:
      return "await_first_token";
    case TransportPhase::body:
      return "body";
    case TransportPhase::idle:
      return "idle";
  }
  return "unknown";
}

std::optional<std::string_view> find_header(Headers headers, std::string_view name) {
  for (const HeaderView& header : headers) {
    if (equals_ignoring_case(header.name, name)) return header.value;
  }
  return std::nullopt;
}

std::string error_body(const Failure& failure) {
  using Json = nlohmann::ordered_json;
  const auto text_or_null = [](const std::string& text) {
    return text.empty() ? Json() : Json(text);
  };
  Json error;
  error["message"] = failure.message;
  error["type"] = failure.type;
  error["param"] = text_or_null(failure.param);
  error["code"] = text_or_null(failure.code);
  Json body;
  body["error"] = std::move(error);
  return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace spillway
