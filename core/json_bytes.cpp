#include "core/json_bytes.hpp"

#ifdef __x86_64__
#include <immintrin.h>
#endif

namespace spillway {

namespace {

bool continues(const char* at, unsigned char low = 0x80, unsigned char high = 0xBF) {
  const auto byte = static_cast<unsigned char>(*at);
  return byte >= low && byte <= high;
}

#ifdef __x86_64__

constexpr int kWideBlock = 32;

// For processors with AVX2; the bytes are told apart as in special_bits().
template <bool kOnlyAscii>
__attribute__((target("avx2"))) const char* pass_plain_avx2(const char* at, const char* end) {
  const __m256i kLeast = _mm256_set1_epi8(0x20), kLastControl = _mm256_set1_epi8(0x1F);
  const __m256i kQuote = _mm256_set1_epi8('"'), kEscape = _mm256_set1_epi8('\\');
  for (; end - at >= kWideBlock; at += kWideBlock) {
    const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
    const __m256i outside = kOnlyAscii
                                ? _mm256_subs_epi8(bytes, kLeast)
                                : _mm256_cmpeq_epi8(_mm256_min_epu8(bytes, kLastControl), bytes);
    const __m256i quotes = _mm256_cmpeq_epi8(bytes, kQuote);
    const __m256i escapes = _mm256_cmpeq_epi8(bytes, kEscape);
    const __m256i special = _mm256_or_si256(outside, _mm256_or_si256(quotes, escapes));
    if (_mm256_movemask_epi8(special) != 0) break;
  }
  return at;
}

const bool has_avx2 = [] {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") != 0;
}();

#endif

}  // namespace

namespace json_bytes {

template <bool kOnlyAscii>
const char* pass_plain_far(const char* at, [[maybe_unused]] const char* end) {
#ifdef __x86_64__
  if (has_avx2) return pass_plain_avx2<kOnlyAscii>(at, end);
#endif
  return at;
}

template const char* pass_plain_far<true>(const char*, const char*);
template const char* pass_plain_far<false>(const char*, const char*);

}  // namespace json_bytes

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
