// retry_policy and model_group_retry_policy: how often a class of error is asked again, by
// LiteLLM's names for the classes. A group's own policy replaces the general one.
#pragma once

#include "config/model_groups.hpp"
#include "config/router_settings.hpp"
#include "config/section.hpp"
#include "core/config.hpp"

namespace spillway::config {

// Fills num_retries and retry_policy of every group. Call it after the last group was added.
void read_retry_policies(const RouterDefaults& defaults, Context& context, Config& config);

}  // namespace spillway::config
