// Limits on what is read at start-up, with their units and reasons. A configuration is the
// operator's own, so these are against accidents (a wrong file, an alias that multiplies), not
// against an attacker.
#pragma once

#include <cstddef>

namespace spillway::config {

inline constexpr std::size_t kMaxFileBytes =
    16 * 1024 * 1024;  // thousands of deployments stay below 1 MiB
inline constexpr std::size_t kMaxSecretBytes = 64 * 1024;  // a key that a NAME_FILE names
inline constexpr std::size_t kMaxNodes =
    200'000;  // values in one file, aliases counted each time they are used
inline constexpr std::size_t kMaxDepth = 100;  // levels; LiteLLM's own substitution stops there
inline constexpr std::size_t kMaxIncludeDepth = 8;  // files including files
inline constexpr std::size_t kMaxIncludes = 100;    // files in all
inline constexpr std::size_t kMaxNotices = 1000;    // of each severity; more helps nobody
inline constexpr std::size_t kMaxDeployments = 100'000;

}  // namespace spillway::config
