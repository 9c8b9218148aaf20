// Picks one deployment of a group: the lowest `order` tier that has a callable candidate, and of
// that whom the routing strategy prefers (core/strategy.hpp). The weights of simple-shuffle are
// looked for in all candidates, not only in the first as in LiteLLM.
#pragma once

#include <optional>
#include <vector>

#include "core/config.hpp"
#include "core/fleet.hpp"

namespace spillway {

struct PickContext {
  const Config& config;
  Fleet& fleet;
  Endpoint endpoint;
  const std::vector<DeploymentIndex>& excluded;  // already failed this request
  // Context-window errors move only to a larger declared window than this.
  std::optional<std::uint64_t> larger_than_input_tokens;
  Delivery delivery = Delivery::whole;  // whose times are compared
};

// True if the deployment offers the endpoint and its window is large enough, whatever its health.
bool suits(const PickContext& context, DeploymentIndex deployment);

// One pass over the group, two for latency-based-routing, and no allocation. A half-open deployment
// whose probe is free is a candidate like any other, so that recovery happens by ordinary traffic.
// nullopt: no deployment of the group is callable now, offers the endpoint, and is not excluded.
std::optional<DeploymentIndex> pick_deployment(const PickContext& context, GroupIndex group,
                                               TimePoint now);

}  // namespace spillway
