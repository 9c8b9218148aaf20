// What instances tell each other about affinities: who answered whom, as a hash. Lines of words,
//
//   9f3c00d2a1b4c5e6 3600000 groq-1
//
// which are the key of core/affinity.hpp, its time to live in milliseconds and the deployment's id.
// What cannot be read was not written by us.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/time.hpp"

namespace spillway {

struct AffinityNews {
  std::uint64_t key = 0;
  Duration ttl{};
  std::string deployment_id;
  bool operator==(const AffinityNews&) const = default;
};

std::string to_string(std::span<const AffinityNews> news);

// nullopt: not ours, in whole or in part. A time to live is at most bounds::kAffinityTtlCap.
std::optional<std::vector<AffinityNews>> parse_affinity_news(std::string_view text);

}  // namespace spillway
