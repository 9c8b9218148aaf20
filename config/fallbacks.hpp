// Resolves the names in fallbacks, default_fallbacks and model_group_alias to model groups.
//
// A target that leads nowhere is a fault: a fallback that does not exist is found out on the worst
// day.
#pragma once

#include "config/model_groups.hpp"
#include "config/providers.hpp"
#include "config/router_settings.hpp"
#include "config/section.hpp"
#include "core/config.hpp"

namespace spillway::config {

void read_aliases(const RouterDefaults& defaults, const ModelGroups& groups, Context& context,
                  Config& config);

// Fills the fallbacks of every group; may add groups (ModelGroups::single_out). Aliases are read
// before.
void read_fallbacks(const RouterDefaults& defaults, const Registry& registry, ModelGroups& groups,
                    Context& context, Config& config);

}  // namespace spillway::config
