// What an upstream says is left of its rate limits: x-ratelimit-limit-*, -remaining-* and -reset-*,
// as OpenAI and most who imitate it send them with every answer.
#pragma once

#include <cstdint>
#include <optional>

#include "core/outcome.hpp"
#include "core/time.hpp"

namespace spillway {

struct Quota {
  std::uint64_t limit = 0;  // > 0
  std::uint64_t remaining = 0;
  std::optional<Duration> reset{};  // until it is full again, where the upstream told
  bool operator==(const Quota&) const = default;
};

// Missing where the upstream did not tell both the limit and what remains.
struct Quotas {
  std::optional<Quota> requests;
  std::optional<Quota> tokens;
  bool operator==(const Quotas&) const = default;
};

// `now` is only for resets that are dates.
Quotas read_quotas(Headers headers, WallTime now);

}  // namespace spillway
