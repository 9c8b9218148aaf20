#include "server/authenticate.hpp"

#include <openssl/crypto.h>

#include <string_view>

#include "core/body.hpp"

namespace spillway::server {

namespace {

// Where clients of OpenAI, Azure, Anthropic, Gemini and LiteLLM put their keys.
constexpr std::string_view kKeyHeaders[] = {"x-litellm-api-key", "api-key", "x-api-key",
                                            "x-goog-api-key"};

std::string_view without_scheme(std::string_view value) {
  constexpr std::string_view kBearer = "bearer ";
  if (value.size() >= kBearer.size() && fold(value.substr(0, kBearer.size())) == kBearer)
    value.remove_prefix(kBearer.size());
  while (value.starts_with(' ')) value.remove_prefix(1);
  return value;
}

std::string_view presented_key(const ClientRequest& request) {
  if (const auto value = request.header("authorization")) return without_scheme(*value);
  for (const std::string_view name : kKeyHeaders)
    if (const auto value = request.header(name)) return without_scheme(*value);
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
