// One entry of model_list, resolved into deployments: usually one, one for each organization if
// several are named.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/providers.hpp"
#include "config/router_settings.hpp"
#include "config/section.hpp"
#include "core/config.hpp"

namespace spillway::config {

struct Draft {
  std::string group;       // model_name
  std::string configured;  // litellm_params.model as written
  Deployment deployment;   // without its group's index, and unweighted
  std::optional<double> weight;
  bool named = false;  // the id is the operator's
  Place place;
};

std::vector<Draft> read_model_entry(const Node& node, const Registry& registry,
                                    const RouterDefaults& defaults, Context& context);

// Sixteen hexadecimal digits of a stable hash.
std::string short_hash(std::string_view text);

}  // namespace spillway::config
