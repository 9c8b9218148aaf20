#include "config/model_groups.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "config/bounds.hpp"
#include "config/upstream.hpp"

namespace spillway::config {

namespace {

std::size_t stars(std::string_view name) {
  return static_cast<std::size_t>(std::count(name.begin(), name.end(), '*'));
}

std::optional<double> rate(const std::optional<std::uint64_t>& value) {
  return value ? std::optional(static_cast<double>(*value)) : std::nullopt;
}

}  // namespace

GroupIndex ModelGroups::group_named(const std::string& name) {
  const bool wildcard = stars(name) > 0;
  if (wildcard) {
    const auto same = [&](GroupIndex index) { return config_.at(index).name == name; };
    const auto found = std::find_if(config_.wildcards.begin(), config_.wildcards.end(), same);
    if (found != config_.wildcards.end()) return *found;
  } else if (const GroupIndex* const found = config_.exact_names.find(name)) {
    return *found;
  }
  const GroupIndex index{static_cast<std::uint32_t>(config_.groups.size())};
  ModelGroup group;
  group.name = name;
  group.wildcard = wildcard;
  config_.groups.push_back(std::move(group));
  if (wildcard) {
    config_.wildcards.push_back(index);
  } else {
    config_.exact_names.emplace(name, index);
  }
  return index;
}

std::string ModelGroups::unique_id(const Draft& draft) {
  std::string id = draft.deployment.id;
  if (ids_.insert(id).second) return id;
  if (draft.named) {
    context_.report.fault(draft.place, "model_list",
                          fmt::format("the id {} is already that of another deployment", id));
    return id;
  }
  // Entries that are equal in everything are told apart by their order.
  for (int copy = 2;; ++copy) {
    id = fmt::format("{}-{}", draft.deployment.id, copy);
    if (ids_.insert(id).second) return id;
  }
}

void ModelGroups::add(Draft draft) {
  if (config_.deployments.size() >= kMaxDeployments) {
    return context_.report.fault(draft.place, "model_list",
                                 fmt::format("more than {} deployments", kMaxDeployments));
  }
  const GroupIndex group = group_named(draft.group);
  const DeploymentIndex index{static_cast<std::uint32_t>(config_.deployments.size())};
  draft.deployment.id = unique_id(draft);
  draft.deployment.group = group;
  ModelGroup& members = config_.groups[group.value];
  if (!members.wildcard) config_.deployment_ids.emplace(draft.deployment.id, index);
  (draft.deployment.usable() ? members.deployments : members.left_out).push_back(index);
  config_.deployments.push_back(std::move(draft.deployment));
  configured_.push_back(std::move(draft.configured));
  configured_weights_.push_back(draft.weight);
}

GroupIndex ModelGroups::single_out(std::string_view name, const ModelMatch& match) {
  const ModelGroup pattern = config_.at(match.group);
  for (const auto* list : {&pattern.deployments, &pattern.left_out}) {
    for (const DeploymentIndex member : *list) {
      Draft draft;
      draft.group = name;
      draft.deployment = config_.at(member);
      draft.deployment.model = substitute(draft.deployment.model, match.captures);
      draft.deployment.id += fmt::format(":{}", name);
      draft.configured = substitute(configured_[member.value], match.captures);
      draft.weight = configured_weights_[member.value];
      add(std::move(draft));
    }
  }
  return group_named(std::string(name));
}

bool ModelGroups::has(std::string_view name) const {
  const auto groups = names();
  return std::find(groups.begin(), groups.end(), name) != groups.end();
}

std::optional<GroupIndex> ModelGroups::group_of_model(std::string_view configured) const {
  const auto found = std::find(configured_.begin(), configured_.end(), configured);
  if (found == configured_.end()) return std::nullopt;
  return config_.deployments[static_cast<std::size_t>(found - configured_.begin())].group;
}

std::vector<std::string_view> ModelGroups::names() const {
  std::vector<std::string_view> out;
  for (const ModelGroup& group : config_.groups) out.push_back(group.name);
  return out;
}

void ModelGroups::set_weights_of(const ModelGroup& group) {
  // Weighting is decided by the first kind of weight that any member has; members without it then
  // weigh nothing.
  using Weight = std::optional<double> (*)(const ModelGroups&, DeploymentIndex);
  constexpr Weight kKinds[] = {
      [](const ModelGroups& groups, DeploymentIndex i) {
        return groups.configured_weights_[i.value];
      },
      [](const ModelGroups& groups, DeploymentIndex i) { return rate(groups.config_.at(i).rpm); },
      [](const ModelGroups& groups, DeploymentIndex i) { return rate(groups.config_.at(i).tpm); },
  };
  std::vector<DeploymentIndex> members = group.deployments;
  members.insert(members.end(), group.left_out.begin(), group.left_out.end());
  for (const Weight kind : kKinds) {
    const bool any = std::any_of(members.begin(), members.end(),
                                 [&](DeploymentIndex i) { return kind(*this, i).has_value(); });
    if (!any) continue;
    for (const DeploymentIndex i : members) {
      const auto weight = kind(*this, i);
      config_.deployments[i.value].weighted = weight.has_value();
      config_.deployments[i.value].weight = weight.value_or(0.0);
    }
    return;
  }
}

void ModelGroups::warn_of_hidden_ids() {
  const std::map in_order(config_.deployment_ids.begin(), config_.deployment_ids.end());
  for (const auto& [id, deployment] : in_order) {
    const GroupIndex* const group = config_.exact_names.find(id);
    if (group == nullptr) continue;
    const ModelGroup& named = config_.at(*group);
    if (named.deployments.size() + named.left_out.size() == 1 &&
        config_.at(deployment).group == *group)
      continue;
    context_.report.warn({}, "model_list",
                         fmt::format("\"{}\" is a model group and the id of a deployment; as a "
                                     "model name it means the group",
                                     id));
  }
}

void ModelGroups::set_weights() {
  for (const ModelGroup& group : config_.groups) set_weights_of(group);
  warn_of_hidden_ids();
}

void ModelGroups::order_wildcards() {
  const auto specificity = [&](GroupIndex index) {
    const std::string& name = config_.at(index).name;
    return std::pair(name.size() - stars(name), stars(name));
  };
  std::stable_sort(config_.wildcards.begin(), config_.wildcards.end(),
                   [&](GroupIndex a, GroupIndex b) {
                     const auto [literal_a, stars_a] = specificity(a);
                     const auto [literal_b, stars_b] = specificity(b);
                     return literal_a != literal_b ? literal_a > literal_b : stars_a < stars_b;
                   });
}

namespace {

// The entry that a configuration would hold for every model of one provider.
Node provider_entry(const std::string& slug, const Node& like) {
  const auto map = [&](std::vector<Member> members) {
    Node node;
    node.kind = NodeKind::map;
    node.place = like.place;
    node.path = like.path;
    node.members = std::move(members);
    return node;
  };
  const Node name = make_scalar(slug + "/*", like);
  Node params = map({{.key = "model", .place = like.place, .value = name}});
  return map({{.key = "model_name", .place = like.place, .value = name},
              {.key = "litellm_params", .place = like.place, .value = std::move(params)}});
}

class ListReader {
 public:
  ListReader(const Registry& registry, const RouterDefaults& defaults, Context& context,
             ModelGroups& groups)
      : registry_(registry), defaults_(defaults), context_(context), groups_(groups) {}

  void read(const Node& list) {
    if (list.kind != NodeKind::sequence) {
      return context_.fault(list, fmt::format("must be a list, not {}", kind_name(list)));
    }
    const Node* everything = nullptr;
    for (const Node& entry : list.items) {
      add(entry);
      if (is_everything(entry)) everything = &entry;
    }
    // LiteLLM's `model: "*"` means whatever provider the request names; here those the environment
    // has keys for.
    if (everything != nullptr) offer_environment(*everything);
  }

  void offer_environment(const Node& like) {
    std::set<std::string_view> addresses;
    for (const auto& [slug, provider] : registry_) {
      if (!ready_from_environment(provider, context_.variables)) continue;
      // Several names for one service (ollama, ollama_chat) would only make the list longer.
      const bool again = !provider.base_url.empty() && !addresses.insert(provider.base_url).second;
      if (again || groups_.has(slug + "/*")) continue;
      add(provider_entry(slug, like));
    }
  }

 private:
  static bool is_everything(const Node& entry) {
    const Node* params = entry.find("litellm_params");
    const Node* model = params == nullptr ? nullptr : params->find("model");
    return model != nullptr && model->text == "*" && params->find("api_base") == nullptr;
  }

  void add(const Node& entry) {
    for (Draft& draft : read_model_entry(entry, registry_, defaults_, context_))
      groups_.add(std::move(draft));
  }

  const Registry& registry_;
  const RouterDefaults& defaults_;
  Context& context_;
  ModelGroups& groups_;
};

}  // namespace

void read_model_list(const Node& root, const Registry& registry, const RouterDefaults& defaults,
                     Context& context, ModelGroups& groups) {
  ListReader reader(registry, defaults, context, groups);
  const Node* list = root.find("model_list");
  if (list != nullptr && list->kind != NodeKind::null) return reader.read(*list);
  Node nowhere;
  reader.offer_environment(nowhere);
}

}  // namespace spillway::config
