// How a group's deployments are chosen between: router_settings.routing_strategy with its
// arguments, what makes rpm and tpm limits, and what a deployment costs.
#pragma once

#include <optional>

#include "config/section.hpp"
#include "core/config.hpp"

namespace spillway::config {

// routing_strategy, routing_strategy_args and enforce_model_rate_limits of router_settings.
void read_routing_strategy(Section& router_settings, Context& context, RouterSettings& out);

// The price of a token, in and out together: of litellm_params, else of model_info. nullopt:
// neither names one.
std::optional<double> read_cost_per_token(Section& params, Section& info);

}  // namespace spillway::config
