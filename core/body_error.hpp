// The client's mistakes in a request body, each with its words in one place.
#pragma once

#include <string>
#include <string_view>

#include "core/body.hpp"
#include "core/json_scan.hpp"

namespace spillway::body_error {

BodyError not_json(const JsonFault& fault);
BodyError not_an_object(JsonType type);
BodyError repeated(std::string_view spelling, std::string_view param);
BodyError refused(std::string_view key);
BodyError model_missing(bool other_case);
BodyError model_empty();
BodyError model_too_long();
BodyError wrong_type(std::string_view key, std::string_view wanted, JsonType got);
BodyError not_an_integer(std::string_view key);

}  // namespace spillway::body_error
