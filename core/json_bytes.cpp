#include "core/json_bytes.hpp"

namespace spillway {

namespace {

bool continues(const char* at, unsigned char low = 0x80, unsigned char high = 0xBF) {
  const auto byte = static_cast<unsigned char>(*at);
  return byte >= low && byte <= high;
}

}  // namespace

int utf8_length(const char* at, const char* end) {
  const auto lead = static_cast<unsigned char>(*at);
  const auto left = end - at;
  if (lead < 0x80) return 1;
  if (lead < 0xC2) return 0;
  if (lead < 0xE0) return left >= 2 && continues(at + 1) ? 2 : 0;
  if (lead < 0xF0) {
    if (left < 3) return 0;
    const unsigned char low = lead == 0xE0 ? 0xA0 : 0x80;   // shorter forms exist below
    const unsigned char high = lead == 0xED ? 0x9F : 0xBF;  // surrogates lie above
    return continues(at + 1, low, high) && continues(at + 2) ? 3 : 0;
  }
  if (lead > 0xF4 || left < 4) return 0;
  const unsigned char low = lead == 0xF0 ? 0x90 : 0x80;
  const unsigned char high = lead == 0xF4 ? 0x8F : 0xBF;  // U+10FFFF is the last
  return continues(at + 1, low, high) && continues(at + 2) && continues(at + 3) ? 4 : 0;
}

const char* pass_non_ascii(const char* at, const char* end, const char*& bad) {
  while (at != end && static_cast<unsigned char>(*at) >= 0x80) {
    const int length = utf8_length(at, end);
    if (length == 0) {
      bad = at;
      return nullptr;
    }
    at += length;
  }
  return at;
}

}  // namespace spillway
