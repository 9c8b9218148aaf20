// What the machine-readable codes of upstream errors mean. One table for every provider:
// `error.code`, `error.type`, a google.rpc status and a details reason are looked up in the same
// place, whoever sent them.
#pragma once

#include <cstdint>
#include <string_view>

namespace spillway {

enum class CodeMeaning : std::uint8_t {
  unknown,
  context_window,
  content_policy,
  rate_limit,
  quota,
  credential,  // the gateway's key or account for the provider
  account,     // an organization or project that does not go with the key
  model,       // the deployment's model is not there or not allowed
  invalid_request,
  permission,
  not_found,
  conflict,
  unprocessable,
  timeout,
  internal,
  bad_gateway,
  overloaded,
};

// Case and punctuation are ignored: "model_not_found", "ModelNotFound" and "MODEL-NOT-FOUND" are
// one code.
CodeMeaning meaning_of_code(std::string_view code);

// The HTTP status that an answer with this meaning would have had; 0 for unknown.
int status_of(CodeMeaning meaning);

}  // namespace spillway
