#include "core/head_bytes.hpp"

#include <bit>

#include "core/http_syntax.hpp"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace spillway::http {

#ifdef __SSE2__

namespace {

constexpr int kBlock = 16;

// A bit for each forbidden byte of the block, the lowest for the first.
unsigned forbidden_bits(const char* block) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(block));
  const __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1F)), bytes);
  const __m128i tabs = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\t'));
  const __m128i deletes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7F));
  const __m128i forbidden = _mm_or_si128(_mm_andnot_si128(tabs, low), deletes);
  return static_cast<unsigned>(_mm_movemask_epi8(forbidden));
}

// A bit for each byte of the block from '-' to '9' (those two, '.', '/' and digits), and for each
// letter.
unsigned plain_bits(__m128i bytes) {
  const __m128i digits = _mm_sub_epi8(bytes, _mm_set1_epi8('-'));
  const __m128i is_digit = _mm_cmpeq_epi8(_mm_min_epu8(digits, _mm_set1_epi8('9' - '-')), digits);
  const __m128i letters =
      _mm_sub_epi8(_mm_or_si128(bytes, _mm_set1_epi8(0x20)), _mm_set1_epi8('a'));
  const __m128i is_letter =
      _mm_cmpeq_epi8(_mm_min_epu8(letters, _mm_set1_epi8('z' - 'a')), letters);
  return static_cast<unsigned>(_mm_movemask_epi8(_mm_or_si128(is_digit, is_letter)));
}

}  // namespace

#endif

const char* find_forbidden(const char* at, const char* end) {
#ifdef __SSE2__
  for (; end - at >= kBlock; at += kBlock) {
    if (const unsigned bits = forbidden_bits(at); bits != 0) return at + std::countr_zero(bits);
  }
#endif
  while (at != end && !is_forbidden(*at)) ++at;
  return at;
}

const char* pass_plain_name([[maybe_unused]] const char* at, [[maybe_unused]] const char* end) {
#ifdef __SSE2__
  for (; end - at >= kBlock; at += kBlock) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    const __m128i slashes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('/'));
    const unsigned other = ~plain_bits(bytes) | static_cast<unsigned>(_mm_movemask_epi8(slashes));
    if (const int plain = std::countr_zero(other); plain < kBlock) return at + plain;
  }
#endif
  return at;
}

const char* pass_plain_path([[maybe_unused]] const char* at, [[maybe_unused]] const char* end) {
#ifdef __SSE2__
  for (; end - at >= kBlock; at += kBlock) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    if (const int plain = std::countr_one(plain_bits(bytes)); plain < kBlock) return at + plain;
  }
#endif
  return at;
}

}  // namespace spillway::http
