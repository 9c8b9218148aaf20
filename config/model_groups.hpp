// Gathers deployments into model groups: indices, ids, weights, and the order in which wildcards
// are tried.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "config/deployment_entry.hpp"
#include "config/providers.hpp"
#include "config/section.hpp"
#include "core/config.hpp"

namespace spillway::config {

class ModelGroups {
 public:
  ModelGroups(Config& config, Context& context) : config_(config), context_(context) {}

  void add(Draft draft);

  // A group of its own for one name that so far only a wildcard covers: its settings then apply to
  // that name alone. Its deployments are copies with the name filled in.
  GroupIndex single_out(std::string_view name, const ModelMatch& match);

  bool has(std::string_view name) const;
  // The group of the deployment whose litellm_params.model is `configured`, else nothing.
  std::optional<GroupIndex> group_of_model(std::string_view configured) const;
  std::vector<std::string_view> names() const;

  // Most specific first: more literal characters, then fewer stars. Names can be looked up from
  // here on.
  void order_wildcards();
  // Call it after the last add.
  void set_weights();

 private:
  GroupIndex group_named(const std::string& name);
  std::string unique_id(const Draft& draft);
  // An id that cannot be called by, because a group has the name.
  void warn_of_hidden_ids();
  void set_weights_of(const ModelGroup& group);

  Config& config_;
  Context& context_;
  std::set<std::string> ids_;
  std::vector<std::string> configured_;                    // by deployment
  std::vector<std::optional<double>> configured_weights_;  // by deployment
};

// Reads model_list; without one, offers every provider that the environment has a key for as
// "provider/*".
void read_model_list(const Node& root, const Registry& registry, const RouterDefaults& defaults,
                     Context& context, ModelGroups& groups);

}  // namespace spillway::config
