#include "core/redaction.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "core/ascii.hpp"

namespace spillway {

namespace {

// What has nothing to hide, and stands in a message to be read.
constexpr std::array<std::string_view, 5> kPublic{"accept", "anthropic-beta", "anthropic-version",
                                                  "content-type", "user-agent"};
constexpr std::size_t kShortest = 6;  // shorter words stand in any text
constexpr std::string_view kInstead = "[redacted]";

// The credential itself, which an error may show without the scheme's name.
std::string_view without_scheme(std::string_view value) {
  for (const std::string_view scheme : {"Bearer ", "Basic "})
    if (starts_with_ignoring_case(value, scheme)) return value.substr(scheme.size());
  return value;
}

void take_out(std::string& text, std::string_view secret) {
  for (std::size_t at = text.find(secret); at != std::string::npos;
       at = text.find(secret, at + kInstead.size()))
    text.replace(at, secret.size(), kInstead);
  // Messages are cut to a length, perhaps within the secret.
  for (std::size_t left = secret.size() - 1; left >= kShortest; --left) {
    if (!text.ends_with(secret.substr(0, left))) continue;
    text.replace(text.size() - left, left, kInstead);
    return;
  }
}

}  // namespace

void redact(Failure& failure, const Deployment& deployment) {
  for (const UpstreamHeader& field : deployment.headers) {
    if (std::ranges::find(kPublic, field.name) != kPublic.end()) continue;
    const std::string_view secret = without_scheme(field.value.reveal());
    if (secret.size() < kShortest) continue;
    for (std::string* text :
         {&failure.message, &failure.code, &failure.param, &failure.type, &failure.detail})
      take_out(*text, secret);
  }
}

}  // namespace spillway
