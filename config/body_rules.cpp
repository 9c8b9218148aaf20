#include "config/body_rules.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "config/litellm_keys.hpp"
#include "config/scalars.hpp"
#include "config/suggest.hpp"
#include "core/body.hpp"

namespace spillway::config {

namespace {

// What the client says and nobody else: a default for these would change what kind of answer comes
// back.
constexpr std::array<std::string_view, 4> kClientsOwn{"stream", "messages", "input", "prompt"};

constexpr std::size_t kNearKey =
    2;  // edits within which an extra parameter may be a misspelt setting

bool holds(std::span<const std::string_view> keys, std::string_view key) {
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

class ExtrasReader {
 public:
  ExtrasReader(Section& params, Context& context, BodyRules& rules)
      : params_(params), context_(context), rules_(rules) {}

  void read(const Member& member) {
    const std::string_view key = member.key;
    if (is_price(key)) return warn(member, "is not supported yet and has no effect");
    if (is_private_param(key)) return warn(member, "is not used, and never sent to a provider");
    if (holds(kClientsOwn, key))
      return warn(member, "is the client's to say, and has no effect here");
    if (!holds(request_parameters(), key)) warn_unknown(member);
    add(member);
  }

  // A map of body fields.
  void read_extra_body(const Node& map) {
    for (const Member& member : map.members) {
      if (holds(kClientsOwn, member.key) || member.key == "model") {
        warn(member, "is the client's to say, and has no effect here");
      } else {
        add(member);
      }
    }
  }

 private:
  void warn(const Member& member, std::string message) {
    context_.report.warn(member.place, member.value.path, std::move(message));
  }

  void warn_unknown(const Member& member) {
    std::vector<std::string_view> known = params_.known();
    known.insert(known.end(), request_parameters().begin(), request_parameters().end());
    const std::string_view near = nearest(member.key, known, kNearKey);
    warn(member, "is not a setting, so it is sent to the provider as a body field" +
                     (near.empty() ? "" : fmt::format("; did you mean \"{}\"?", near)));
  }

  void add(const Member& member) {
    if (auto json = json_of(member.value))
      rules_.defaults.emplace_back(member.key, std::move(*json));
  }

  std::optional<std::string> json_of(const Node& node) {
    switch (node.kind) {
      case NodeKind::null:
        return "null";
      case NodeKind::scalar:
        return scalar(node);
      case NodeKind::sequence: {
        std::vector<std::string> parts;
        for (const Node& item : node.items) {
          auto part = json_of(item);
          if (!part) return std::nullopt;
          parts.push_back(std::move(*part));
        }
        return fmt::format("[{}]", fmt::join(parts, ","));
      }
      case NodeKind::map: {
        std::vector<std::string> parts;
        for (const Member& member : node.members) {
          auto part = json_of(member.value);
          if (!part) return std::nullopt;
          parts.push_back(quote(member.key) + ":" + *part);
        }
        return fmt::format("{{{}}}", fmt::join(parts, ","));
      }
    }
    return std::nullopt;
  }

  std::optional<std::string> scalar(const Node& node) {
    const auto text = params_.resolve(node);
    if (!text) return std::nullopt;
    auto json = scalar_json(node, *text);
    if (!json) context_.fault(node, "is not a number that JSON can hold");
    return json;
  }

  Section& params_;
  Context& context_;
  BodyRules& rules_;
};

void read_drops(Section& params, const Provider& provider, DropParams drop, Context& context,
                BodyRules& rules) {
  const bool wanted = params.boolean("drop_params").value_or(drop == DropParams::yes);
  if (wanted) rules.drop = provider.unsupported_params;
  const auto additional = params.texts("additional_drop_params");
  if (!additional) return;
  for (const std::string& name : *additional) {
    if (name.find_first_of(".[") != std::string::npos) {
      context.warn(
          *params.get("additional_drop_params"),
          fmt::format("\"{}\" is inside another field; only top-level fields can be dropped",
                      name));
    } else {
      rules.drop.push_back(name);
    }
  }
}

}  // namespace

BodyRules read_body_rules(Section& params, const Provider& provider, DropParams drop,
                          Context& context) {
  BodyRules rules;
  rules.rename = provider.param_mappings;
  rules.temperature_max = provider.temperature_max;
  rules.temperature_min = provider.temperature_min;
  rules.temperature_min_with_n_gt_1 = provider.temperature_min_with_n_gt_1;
  rules.content_list_to_string = provider.content_list_to_string;
  if (provider.force_store_false) rules.force.emplace_back("store", "false");
  read_drops(params, provider, drop, context, rules);

  ExtrasReader extras(params, context, rules);
  const Node* extra_body = params.map("extra_body");
  params.unsupported(unsupported_litellm_params());
  for (const Member* member : params.rest()) extras.read(*member);
  if (extra_body != nullptr) extras.read_extra_body(*extra_body);
  // The last one of a name counts, as when LiteLLM lays extra_body over the rest.
  for (auto it = rules.defaults.begin(); it != rules.defaults.end();) {
    const bool again = std::any_of(it + 1, rules.defaults.end(),
                                   [&](const auto& later) { return later.first == it->first; });
    it = again ? rules.defaults.erase(it) : it + 1;
  }
  return rules;
}

}  // namespace spillway::config
