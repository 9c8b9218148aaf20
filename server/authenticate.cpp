#include "server/authenticate.hpp"

#include <openssl/crypto.h>

#include <string_view>

#include "core/ascii.hpp"

namespace spillway::server {

namespace {

// Where clients of OpenAI, Azure, Anthropic, Gemini and LiteLLM put their keys.
constexpr std::string_view kKeyHeaders[] = {"x-litellm-api-key", "api-key", "x-api-key",
                                            "x-goog-api-key"};

// RFC 6750 section 2.1. Empty if the field is of another scheme.
std::string_view bearer_token(std::string_view field) {
  constexpr std::string_view kBearer = "bearer ";
  if (!starts_with_ignoring_case(field, kBearer)) return {};
  field.remove_prefix(kBearer.size());
  while (field.starts_with(' ')) field.remove_prefix(1);
  return field;
}

std::string_view presented_key(const ClientRequest& request) {
  if (const auto field = request.header("authorization")) return bearer_token(*field);
  for (const std::string_view name : kKeyHeaders)
    if (const auto field = request.header(name)) return *field;
  return {};
}

}  // namespace

const std::string* authenticate(const std::vector<ClientKey>& keys, const ClientRequest& request) {
  const std::string_view presented = presented_key(request);
  const std::string* found = nullptr;
  for (const ClientKey& key : keys) {
    const std::string& expected = key.key.reveal();
    const bool equal = expected.size() == presented.size() &&
                       CRYPTO_memcmp(expected.data(), presented.data(), expected.size()) == 0;
    if (equal) found = &key.name;
  }
  return found;
}

}  // namespace spillway::server
