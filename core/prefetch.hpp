// Memory that is about to be changed and seldom is in the caches: asked for all at once, its lines
// arrive together, or while something else is done. Behind a lock nothing is read ahead, and each
// line would be waited for alone.
#pragma once

#include <cstddef>
#include <cstdint>

namespace spillway {

// All lines of [from, to). Changes nothing.
inline void prefetch(const void* from, const void* to) {
  constexpr std::uintptr_t kLineBytes = 64;
  const auto end = reinterpret_cast<std::uintptr_t>(to);
  auto at = reinterpret_cast<std::uintptr_t>(from) & ~(kLineBytes - 1);
  for (; at < end; at += kLineBytes) __builtin_prefetch(reinterpret_cast<const void*>(at), 1);
}

}  // namespace spillway
