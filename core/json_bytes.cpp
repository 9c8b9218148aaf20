#include "core/json_bytes.hpp"

#include <bit>
#include <cstdint>
#include <cstring>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace spillway {

namespace {

bool is_special(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte < 0x20 || byte >= 0x80 || c == '"' || c == '\\';
}

bool continues(const char* at, unsigned char low = 0x80, unsigned char high = 0xBF) {
  const auto byte = static_cast<unsigned char>(*at);
  return byte >= low && byte <= high;
}

#ifdef __SSE2__

constexpr int kBlock = 16;

// A bit for each special byte of the block, the lowest for the first.
unsigned special_bits(const char* block) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(block));
  // The comparison is signed, so that it finds control bytes and non-ASCII bytes at once.
  const __m128i outside = _mm_cmplt_epi8(bytes, _mm_set1_epi8(0x20));
  const __m128i quotes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"'));
  const __m128i escapes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'));
  const __m128i special = _mm_or_si128(outside, _mm_or_si128(quotes, escapes));
  return static_cast<unsigned>(_mm_movemask_epi8(special));
}

#else

constexpr int kBlock = 8;
constexpr std::uint64_t kOnes = 0x0101010101010101;
constexpr std::uint64_t kHighs = 0x8080808080808080;

// The high bit of every byte that is zero; bytes above the first zero one may be marked wrongly.
std::uint64_t zero_bytes(std::uint64_t word) {
  return (word - kOnes) & ~word & kHighs;
}

// Not zero if the block has a special byte.
std::uint64_t special_bits(const char* block) {
  std::uint64_t word;
  std::memcpy(&word, block, sizeof word);
  const std::uint64_t controls = (word - kOnes * 0x20) & ~word & kHighs;
  return controls | (word & kHighs) | zero_bytes(word ^ (kOnes * '"')) |
         zero_bytes(word ^ (kOnes * '\\'));
}

#endif

}  // namespace

const char* find_special_byte(const char* at, const char* end) {
  while (end - at >= kBlock) {
    if (const auto bits = special_bits(at); bits != 0) {
#ifdef __SSE2__
      return at + std::countr_zero(bits);
#else
      break;  // which byte it is depends on the byte order: look one by one
#endif
    }
    at += kBlock;
  }
  while (at != end && !is_special(*at)) ++at;
  return at;
}

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
