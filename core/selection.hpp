// Picks one deployment of a group: the lowest `order` tier that has a callable candidate, and of
// that whom the routing strategy prefers (core/strategy.hpp). The weights of simple-shuffle are
// looked for in all candidates, not only in the first as in LiteLLM.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "core/config.hpp"
#include "core/eligibility.hpp"
#include "core/fleet.hpp"

namespace spillway {

struct PickContext {
  const Config& config;
  Fleet& fleet;
  Endpoint endpoint;
  std::span<const DeploymentIndex> excluded;  // already failed this request
  // Context-window errors move only to a larger declared window than this.
  std::optional<std::uint64_t> larger_than_input_tokens;
  Delivery delivery = Delivery::whole;    // whose times are compared
  const Eligibility* eligible = nullptr;  // nullptr: everybody is
  enum class Reserve : std::uint8_t { left_alone, asked } reserve = Reserve::asked;
};

// True if the deployment may take the request, and can now.
bool is_candidate(const PickContext& context, DeploymentIndex deployment, TimePoint now);

// No allocation. simple-shuffle and adaptive draw from the fleet's lottery, at the same cost
// however large the group is, and look at all of it only if many draws were in vain; so do the
// others, which want the least of something, where there is somebody with nothing of it. A
// half-open deployment whose probe is free is a candidate like any other, so that recovery happens
// by ordinary traffic. nullopt: no deployment of the group is callable now, offers the endpoint,
// and is not excluded.
std::optional<DeploymentIndex> pick_deployment(const PickContext& context, GroupIndex group,
                                               TimePoint now);

}  // namespace spillway
