// Keys that clients must show: general_settings.master_key, spillway.keys, and SPILLWAY_MASTER_KEY
// or LITELLM_MASTER_KEY from the environment.
//
// An empty key, one given twice, or one whose variable is missing is a fault: each would open what
// was meant to be shut.
#pragma once

#include <vector>

#include "config/section.hpp"
#include "core/config.hpp"

namespace spillway::config {

// general_settings as a whole; master_key is all of it that has an effect.
void read_general_settings(const Node& root, Context& context, std::vector<ClientKey>& keys);

// `spillway.keys`: a list of {name, key}.
void read_client_keys(const std::vector<Node>& list, Context& context,
                      std::vector<ClientKey>& keys);

void add_environment_keys(Context& context, std::vector<ClientKey>& keys);

}  // namespace spillway::config
