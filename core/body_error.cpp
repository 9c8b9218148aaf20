#include "core/body_error.hpp"

#include <fmt/format.h>

#include "core/bounds.hpp"

namespace spillway::body_error {

namespace {

std::string_view type_name(JsonType type) {
  switch (type) {
    case JsonType::object:
      return "an object";
    case JsonType::array:
      return "an array";
    case JsonType::string:
      return "a string";
    case JsonType::number:
      return "a number";
    case JsonType::boolean:
      return "a boolean";
    case JsonType::null:
      return "null";
  }
  return "a value";
}

}  // namespace

BodyError not_json(const JsonFault& fault) {
  switch (fault.kind) {
    case JsonFault::Kind::empty:
      return {"The request body is empty; it must be a JSON object.", "", "empty_body"};
    case JsonFault::Kind::byte_order_mark:
      return {"The request body starts with a byte order mark; send the JSON without one.", "",
              "invalid_json"};
    case JsonFault::Kind::syntax:
      return {
          fmt::format("The request body is not valid JSON: syntax error at byte {}.", fault.offset),
          "", "invalid_json"};
    case JsonFault::Kind::invalid_utf8:
      return {fmt::format("The request body is not valid UTF-8: see byte {}.", fault.offset), "",
              "invalid_utf8"};
    case JsonFault::Kind::too_deep:
      return {fmt::format("The request body is nested too deeply: more than {} levels at byte {}.",
                          bounds::kJsonDepth, fault.offset),
              "", "json_too_deep"};
  }
  return {"The request body is not valid JSON.", "", "invalid_json"};
}

BodyError not_an_object(JsonType type) {
  return {fmt::format("The request body must be a JSON object, not {}.", type_name(type)), "",
          "invalid_type"};
}

BodyError repeated(std::string_view spelling, std::string_view param) {
  return {
      fmt::format("The key {} repeats '{}' in the request body; send it once. Escapes and letter "
                  "case do not make it another key.",
                  quote(spelling), param),
      std::string(param), "duplicate_key"};
}

BodyError refused(std::string_view key) {
  return {
      fmt::format("'{}' cannot be set by a request: where a call goes, and with which credential, "
                  "is the gateway's configuration.",
                  key),
      std::string(key), "unsupported_parameter"};
}

BodyError model_missing(bool other_case) {
  std::string message = "Missing required parameter: 'model'.";
  if (other_case) message += " Keys are case-sensitive: it must be spelled in lower case.";
  return {std::move(message), "model", "missing_required_parameter"};
}

BodyError model_empty() {
  return {"'model' must not be empty.", "model", "invalid_value"};
}

BodyError model_too_long() {
  return {fmt::format("'model' is longer than {} bytes.", bounds::kModelNameBytes), "model",
          "invalid_value"};
}

BodyError wrong_type(std::string_view key, std::string_view wanted, JsonType got) {
  return {fmt::format("'{}' must be {}, not {}.", key, wanted, type_name(got)), std::string(key),
          "invalid_type"};
}

BodyError not_an_integer(std::string_view key) {
  return {fmt::format("'{}' must be an integer within 64 bits.", key), std::string(key),
          "invalid_type"};
}

}  // namespace spillway::body_error
