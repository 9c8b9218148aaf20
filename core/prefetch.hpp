// Memory that is about to be changed and seldom is in the caches: asked for all at once, its lines
// arrive together. Behind a lock nothing is read ahead, and each line would be waited for alone.
#pragma once

#include <cstddef>

namespace spillway {

// [from, to). Changes nothing.
inline void prefetch(const void* from, const void* to) {
  constexpr std::size_t kLineBytes = 64;
  for (const auto* at = static_cast<const char*>(from); at < to; at += kLineBytes)
    __builtin_prefetch(at, 1);
}

}  // namespace spillway
