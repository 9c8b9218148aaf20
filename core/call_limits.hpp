// What of a deployment's configuration limits its calls, and whether the limits leave room.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "core/config.hpp"
#include "core/time.hpp"

namespace spillway {

struct CallLimits {
  std::optional<std::uint64_t> rpm, tpm;
  std::optional<unsigned> parallel;
  bool operator==(const CallLimits&) const = default;
};

// rpm and tpm are weights to simple-shuffle and limits to the strategies that LiteLLM holds to
// them, or to all where they are enforced.
CallLimits limits_of(const Config& config, DeploymentIndex deployment);

// Whether a call would follow, or a page is only being made.
enum class Looking : std::uint8_t { to_call, only };

// Whether the limits leave room for one more call.
struct Room {
  bool taken = false;         // by calls in flight, or lent to others: free at any moment
  TimePoint limited_until{};  // rpm or tpm are used up until then
  bool left(TimePoint now) const { return !taken && limited_until <= now; }
};

// Tokens to set aside for a call of which only the body's size is known.
std::uint64_t expected_tokens(std::size_t body_bytes);

}  // namespace spillway
