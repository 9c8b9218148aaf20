// FNV-1a, 64 bits: it tells texts apart and names them; it does not protect.
#pragma once

#include <cstdint>
#include <string_view>

namespace spillway::fnv {

inline constexpr std::uint64_t kOffset = 0xcbf29ce484222325;
inline constexpr std::uint64_t kPrime = 0x100000001b3;

// `from`: the hash of what came before.
constexpr std::uint64_t hash(std::string_view text, std::uint64_t from = kOffset) {
  for (const char c : text) from = (from ^ static_cast<unsigned char>(c)) * kPrime;
  return from;
}

}  // namespace spillway::fnv
