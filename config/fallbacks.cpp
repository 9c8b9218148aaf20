#include "config/fallbacks.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "config/suggest.hpp"

namespace spillway::config {

namespace {

constexpr std::string_view kEveryGroup = "*";

using Targets = std::vector<ModelMatch>;

// One item of a list of fallbacks: which groups it is for, and what it leads to.
struct Rule {
  const Member* written = nullptr;
  std::vector<GroupIndex> groups;
  bool every_group = false;
  Targets targets;
};

class Resolver {
 public:
  Resolver(const RouterDefaults& defaults, const Registry& registry, ModelGroups& groups,
           Context& context, Config& config)
      : defaults_(defaults),
        registry_(registry),
        groups_(groups),
        context_(context),
        config_(config) {}

  void resolve() {
    // All groups that the rules are for come first, since naming one may make it; targets may lead
    // there.
    std::vector<Rule> general = rules(defaults_.fallbacks);
    std::vector<Rule> context_window = rules(defaults_.context_window_fallbacks);
    std::vector<Rule> content_policy = rules(defaults_.content_policy_fallbacks);
    for (auto* list : {&general, &context_window, &content_policy}) {
      for (Rule& rule : *list) rule.targets = targets(rule.written->value);
    }
    Targets defaults = default_targets();
    for (const Rule& rule : general) {
      if (rule.every_group) defaults = joined(rule.targets, defaults);
    }
    config_.default_fallbacks = defaults;
    for (std::uint32_t i = 0; i < config_.groups.size(); ++i) {
      ModelGroup& group = config_.groups[i];
      const GroupIndex index{i};
      group.fallbacks = without_self(targets_of(general, index).value_or(defaults), index);
      if (auto special = special_targets(context_window, index)) {
        group.context_window_fallbacks = without_self(*special, index);
      }
      group.content_policy_fallbacks =
          without_self(special_targets(content_policy, index).value_or(Targets{}), index);
    }
  }

 private:
  static Targets joined(Targets first, const Targets& second) {
    for (const ModelMatch& match : second) {
      if (std::find(first.begin(), first.end(), match) == first.end()) first.push_back(match);
    }
    return first;
  }

  static Targets without_self(Targets targets, GroupIndex group) {
    std::erase_if(targets, [&](const ModelMatch& match) {
      return match.group == group && match.captures.empty() && !match.deployment;
    });
    return targets;
  }

  // A group singled out of a wildcard keeps the wildcard's fallbacks where it has none of its own.
  std::optional<Targets> targets_of(const std::vector<Rule>& rules, GroupIndex group) const {
    std::optional<Targets> out;
    for (const Rule& rule : rules) {
      if (std::find(rule.groups.begin(), rule.groups.end(), group) == rule.groups.end()) continue;
      out = joined(out.value_or(Targets{}), rule.targets);
    }
    const auto origin = singled_out_of_.find(group);
    if (!out && origin != singled_out_of_.end()) return targets_of(rules, origin->second);
    return out;
  }

  std::optional<Targets> special_targets(const std::vector<Rule>& rules, GroupIndex group) const {
    if (auto own = targets_of(rules, group)) return own;
    for (const Rule& rule : rules) {
      if (rule.every_group) return rule.targets;
    }
    return std::nullopt;
  }

  // [{"group": ["other", ...]}, ...]
  std::vector<Rule> rules(const Node* list) {
    std::vector<Rule> out;
    if (list == nullptr) return out;
    if (list->kind != NodeKind::sequence) {
      context_.fault(*list,
                     fmt::format("must be a list such as [{{\"group\": [\"other\"]}}], not {}",
                                 kind_name(*list)));
      return out;
    }
    for (const Node& item : list->items) {
      if (item.kind != NodeKind::map || item.members.size() != 1) {
        context_.fault(item, "must be a map of exactly one group to its list of fallbacks");
        continue;
      }
      out.push_back(rule(item.members.front()));
    }
    return out;
  }

  Rule rule(const Member& member) {
    Rule out;
    out.written = &member;
    out.every_group = member.key == kEveryGroup;
    if (!out.every_group) out.groups = groups_meant(member);
    return out;
  }

  // The groups a rule's key stands for: the group itself, one that differs by its provider prefix
  // only, or the one name out of a wildcard.
  std::vector<GroupIndex> groups_meant(const Member& member) {
    const auto alias = config_.aliases.find(member.key);
    const std::string key = alias == config_.aliases.end() ? member.key : alias->second;
    if (groups_.has(key)) return {index_of(key)};
    std::vector<GroupIndex> out;
    for (std::uint32_t i = 0; i < config_.groups.size(); ++i) {
      if (config_.groups[i].name.ends_with("/" + key)) out.push_back(GroupIndex{i});
    }
    if (!out.empty()) return out;
    if (const auto match = find_model(config_, key); match && !match->deployment) {
      const GroupIndex single = groups_.single_out(key, *match);
      singled_out_of_.emplace(single, match->group);
      return {single};
    }
    context_.report.warn(member.place, member.value.path,
                         fmt::format("there is no model group \"{}\", so this has no effect{}", key,
                                     did_you_mean(key, groups_.names())));
    return {};
  }

  GroupIndex index_of(std::string_view name) const {
    const auto names = groups_.names();
    return GroupIndex{
        static_cast<std::uint32_t>(std::find(names.begin(), names.end(), name) - names.begin())};
  }

  Targets targets(const Node& list) {
    Targets out;
    const std::vector<Node> single{list};
    for (const Node& item : list.kind == NodeKind::sequence ? list.items : single) {
      if (item.kind != NodeKind::scalar) {
        context_.fault(item,
                       fmt::format("must be the name of a model group, not {}", kind_name(item)));
      } else if (const auto match = target(item)) {
        out.push_back(*match);
      }
    }
    return out;
  }

  std::optional<ModelMatch> target(const Node& item) {
    if (auto match = find_model(config_, item.text)) return match;
    if (const auto group = groups_.group_of_model(item.text)) return ModelMatch{*group, {}};
    const std::size_t slash = item.text.find('/');
    if (slash != std::string::npos && registry_.contains(item.text.substr(0, slash))) {
      return direct(item);
    }
    context_.fault(item, fmt::format("there is no model group \"{}\"{}", item.text,
                                     did_you_mean(item.text, groups_.names())));
    return std::nullopt;
  }

  // "provider/model" that no group offers: a group of its own, with the provider's key from the
  // environment.
  std::optional<ModelMatch> direct(const Node& item) {
    Node params;
    params.kind = NodeKind::map;
    params.place = item.place;
    params.path = item.path;
    params.members.push_back({.key = "model", .place = item.place, .value = item});
    Node entry = params;
    entry.members = {{.key = "model_name", .place = item.place, .value = item},
                     {.key = "litellm_params", .place = item.place, .value = params}};
    for (Draft& draft : read_model_entry(entry, registry_, defaults_, context_))
      groups_.add(std::move(draft));
    return find_model(config_, item.text);
  }

  Targets default_targets() {
    return defaults_.default_fallbacks == nullptr ? Targets{}
                                                  : targets(*defaults_.default_fallbacks);
  }

  const RouterDefaults& defaults_;
  const Registry& registry_;
  ModelGroups& groups_;
  Context& context_;
  Config& config_;
  std::map<GroupIndex, GroupIndex> singled_out_of_;
};

}  // namespace

void read_aliases(const RouterDefaults& defaults, const ModelGroups& groups, Context& context,
                  Config& config) {
  const Node* map = defaults.model_group_alias;
  if (map == nullptr) return;
  Section checked(map, context);
  if (map->kind != NodeKind::map) return;
  // Aliases are one hop, so targets are looked up while there are none.
  std::map<std::string, std::string, std::less<>> aliases;
  for (const Member& member : map->members) {
    const Node* target = &member.value;
    bool hidden = false;
    if (target->kind == NodeKind::map) {
      Section fields(target, context);
      hidden = fields.boolean("hidden").value_or(false);
      if (fields.get("model") == nullptr) context.fault(*target, "model is missing");
      target = fields.get("model");
      fields.finish();
    }
    if (target == nullptr) continue;
    if (target->kind != NodeKind::scalar) {
      context.fault(*target,
                    fmt::format("must be the name of a model group, not {}", kind_name(*target)));
      continue;
    }
    if (!groups.has(target->text) && !find_model(config, target->text)) {
      context.fault(*target, fmt::format("there is no model group \"{}\"{}", target->text,
                                         did_you_mean(target->text, groups.names())));
      continue;
    }
    aliases.emplace(member.key, target->text);
    if (hidden) config.hidden_aliases.push_back(member.key);
  }
  config.aliases = std::move(aliases);
}

void read_fallbacks(const RouterDefaults& defaults, const Registry& registry, ModelGroups& groups,
                    Context& context, Config& config) {
  Resolver(defaults, registry, groups, context, config).resolve();
}

}  // namespace spillway::config
