// Comparing ASCII text without its letter case and without a copy of it: what stands in a head or
// in a body's keys is looked up dozens of times a request.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

namespace spillway {

namespace ascii {

constexpr char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

// -1: not HEXDIG.
constexpr int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char folded = lower(c);
  return folded >= 'a' && folded <= 'f' ? folded - 'a' + 10 : -1;
}

// What spells a byte, in lower case.
inline constexpr auto kHexPairs = [] {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::array<std::array<char, 2>, 256> pairs{};
  for (std::size_t byte = 0; byte < pairs.size(); ++byte)
    pairs[byte] = {kDigits[byte >> 4], kDigits[byte & 0xF]};
  return pairs;
}();

// Eight bytes at once. Adding to the low seven bits carries into the high one from 'A' on, and once
// more from behind 'Z': bytes in between differ.
constexpr std::uint64_t lower(std::uint64_t bytes) {
  constexpr std::uint64_t kOnes = 0x0101010101010101;
  const std::uint64_t low_bits = bytes & (kOnes * 0x7F);
  const std::uint64_t from_a = low_bits + kOnes * (0x80 - 'A');
  const std::uint64_t behind_z = low_bits + kOnes * (0x7F - 'Z');
  const std::uint64_t upper = (from_a ^ behind_z) & ~bytes & (kOnes * 0x80);
  return bytes | upper >> 2;
}

inline std::uint64_t load(const char* at, std::size_t bytes) {
  std::uint64_t word = 0;
  std::memcpy(&word, at, bytes);
  return word;
}

// `size` bytes each.
inline bool equal_folded(const char* a, const char* b, std::size_t size) {
  if (size < sizeof(std::uint64_t)) {
    for (std::size_t i = 0; i < size; ++i) {
      if (lower(a[i]) != lower(b[i])) return false;
    }
    return true;
  }
  const std::size_t last =
      size - sizeof(std::uint64_t);  // the last word may overlap the one before
  for (std::size_t i = 0;;
       i = i + sizeof(std::uint64_t) < last ? i + sizeof(std::uint64_t) : last) {
    const std::uint64_t x = load(a + i, sizeof x), y = load(b + i, sizeof y);
    if (x != y && lower(x) != lower(y)) return false;
    if (i == last) return true;
  }
}

// 1*DIGIT, at most 19 of them, which always fit; nullopt for anything else.
inline std::optional<std::uint64_t> short_number(std::string_view text) {
  if (text.empty() || text.size() > 19) return std::nullopt;
  std::uint64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + static_cast<std::uint64_t>(c - '0');
  }
  return value;
}

}  // namespace ascii

// text == word; where `word` is a literal in a few instructions, without a call.
inline bool same(std::string_view text, std::string_view word) {
  return text.size() == word.size() && std::memcmp(text.data(), word.data(), word.size()) == 0;
}

inline bool equals_ignoring_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() && ascii::equal_folded(a.data(), b.data(), a.size());
}

inline bool starts_with_ignoring_case(std::string_view text, std::string_view start) {
  return text.size() >= start.size() &&
         ascii::equal_folded(text.data(), start.data(), start.size());
}

// `text` holds `part` somewhere.
inline bool contains_ignoring_case(std::string_view text, std::string_view part) {
  for (; text.size() >= part.size(); text.remove_prefix(1)) {
    if (starts_with_ignoring_case(text, part)) return true;
    if (text.empty()) break;
  }
  return false;
}

}  // namespace spillway
