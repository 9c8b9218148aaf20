// Reads an upstream's error body, whatever its shape, into one value: the fields that decide
// (codes) and the field that is shown (message). The shapes are those listed at InBandError in
// core/outcome.hpp.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error_codes.hpp"

namespace spillway {

struct ErrorReport {
  std::string message;  // as it was sent, unbounded; empty: none
  std::string
      code;  // error.code, numbers as text, or a google.rpc status; empty: none, or not presentable
  std::string type;
  std::string param;
  std::optional<int> numeric_code;  // error.code as a number, else a numeric status
  std::vector<CodeMeaning>
      meanings;              // of code, status, reasons and type, in that order; no unknowns
  bool daily_quota = false;  // a google.rpc.QuotaFailure names a quota per day

  bool means(CodeMeaning meaning) const;
};

// Nothing is filled in if `body` is not JSON or says nothing that reads as an error.
ErrorReport read_error_report(std::string_view body);

// `text` as a document of at most 32 levels, what lies deeper left out; discarded if it is not
// JSON. Never throws.
nlohmann::json parse_error_json(std::string_view text);

}  // namespace spillway
