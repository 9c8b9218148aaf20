// The byte-level questions of the JSON scanner's hot path: where a string stops being plain, and
// what of it is UTF-8. Bodies are megabytes of string; everything else about them is cheap.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace spillway {

namespace json_bytes {

#ifdef __SSE2__

inline constexpr int kBlock = 16;

// A bit for each special byte of the block, the lowest for the first.
template <bool kOnlyAscii>
unsigned special_bits(const char* block) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(block));
  // Signed, control bytes and non-ASCII bytes are those below 0x20, and the sign is what is asked
  // for; unsigned, control bytes are those that 0x1F is not above.
  const __m128i outside = kOnlyAscii
                              ? _mm_subs_epi8(bytes, _mm_set1_epi8(0x20))
                              : _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1F)), bytes);
  const __m128i quotes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"'));
  const __m128i escapes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'));
  const __m128i special = _mm_or_si128(outside, _mm_or_si128(quotes, escapes));
  return static_cast<unsigned>(_mm_movemask_epi8(special));
}

#else

inline constexpr int kBlock = 8;
inline constexpr std::uint64_t kOnes = 0x0101010101010101;
inline constexpr std::uint64_t kHighs = 0x8080808080808080;

// The high bit of every byte that is zero; bytes above the first zero one may be marked wrongly.
inline std::uint64_t zero_bytes(std::uint64_t word) {
  return (word - kOnes) & ~word & kHighs;
}

// Not zero if the block has a special byte.
template <bool kOnlyAscii>
std::uint64_t special_bits(const char* block) {
  std::uint64_t word;
  std::memcpy(&word, block, sizeof word);
  const std::uint64_t controls = (word - kOnes * 0x20) & ~word & kHighs;
  const std::uint64_t others = kOnlyAscii ? word & kHighs : 0;
  return controls | others | zero_bytes(word ^ (kOnes * '"')) | zero_bytes(word ^ (kOnes * '\\'));
}

template <bool kOnlyAscii>
bool is_special(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte < 0x20 || (kOnlyAscii && byte >= 0x80) || c == '"' || c == '\\';
}

#endif

// Past text without a special byte, in wider blocks if the processor has them; stops at the latest
// where less than one is left.
template <bool kOnlyAscii>
const char* pass_plain_far(const char* at, const char* end);

template <bool kOnlyAscii>
const char* find_special_far(const char* at, const char* end) {
  constexpr std::ptrdiff_t kNear = 4 * kBlock;  // most strings end within
  const char* limit = end - at > 4 * kNear ? at + kNear : end;
  for (;;) {
    for (; limit - at >= kBlock; at += kBlock) {
      const auto bits = special_bits<kOnlyAscii>(at);
      if (bits == 0) continue;
#ifdef __SSE2__
      return at + std::countr_zero(bits);
#else
      limit = end = at + kBlock;  // which byte it is depends on the byte order: look one by one
      break;
#endif
    }
    if (limit == end) break;
    at = pass_plain_far<kOnlyAscii>(at, end);
    limit = end;
  }
#ifdef __SSE2__
  // The rest of a block, with zeros behind it, which are special.
  char rest[kBlock] = {};
  std::memcpy(rest, at, static_cast<std::size_t>(end - at));
  return at + std::countr_zero(special_bits<kOnlyAscii>(rest));
#else
  while (at != end && !is_special<kOnlyAscii>(*at)) ++at;
  return at;
#endif
}

// Keys and short values end in the first block.
template <bool kOnlyAscii>
inline const char* find_special(const char* at, const char* end) {
#ifdef __SSE2__
  if (end - at >= kBlock) [[likely]] {
    const auto bits = special_bits<kOnlyAscii>(at);
    if (bits != 0) [[likely]]
      return at + std::countr_zero(bits);
    at += kBlock;
  }
#endif
  return find_special_far<kOnlyAscii>(at, end);
}

}  // namespace json_bytes

// The first byte in [at, end) that is '"', '\', below 0x20 or not ASCII; `end` if there is none.
inline const char* find_special_byte(const char* at, const char* end) {
  return json_bytes::find_special<true>(at, end);
}

// The same for text that is known to be UTF-8: non-ASCII bytes are not special.
inline const char* find_special_ascii(const char* at, const char* end) {
  return json_bytes::find_special<false>(at, end);
}

// [at, end) starts with a non-ASCII byte. One past the last byte of the run of valid UTF-8
// sequences there, or nullptr with `bad` set to the first byte of the sequence that is not valid.
const char* pass_non_ascii(const char* at, const char* end, const char*& bad);

// Length of the UTF-8 sequence at `at` (1 to 4), or 0 if it is not valid.
int utf8_length(const char* at, const char* end);

}  // namespace spillway
