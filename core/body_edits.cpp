#include "core/body_edits.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/decimal.hpp"
#include "core/gateway_body_keys.hpp"

namespace spillway {

namespace {

// A number beyond a double is as good as zero or as infinity for a clamp.
std::optional<double> read_number(std::string_view text) {
  const std::optional<double> number = take_decimal(text);
  return text.empty() ? number : std::nullopt;
}

double clamp_temperature(double temperature, const BodyRules& rules, double n) {
  if (rules.temperature_max) temperature = std::min(temperature, *rules.temperature_max);
  if (rules.temperature_min) temperature = std::max(temperature, *rules.temperature_min);
  if (rules.temperature_min_with_n_gt_1 && n > 1) {
    temperature = std::max(temperature, *rules.temperature_min_with_n_gt_1);
  }
  return temperature;
}

class MemberEditor {
 public:
  MemberEditor(std::string_view body, const BodyView& view, const BodyRules& rules)
      : body_(body), rules_(rules) {
    for (const BodyMember& member : view.members)
      members_.push_back({member.key, &member, false, {}});
  }

  std::vector<EditedMember> edit(std::string_view upstream_model, Endpoint endpoint) {
    for (const std::string_view name : kGatewayBodyKeys) drop(name);
    for (const std::string& name : rules_.drop) {
      if (name != "model") drop(name);
    }
    for (const auto& [from, to] : rules_.rename) rename(from, to);
    for (const auto& [name, text] : rules_.defaults) insert_default(name, text);
    if (endpoint == Endpoint::responses) {
      for (const auto& [name, text] : rules_.force) set(name, text);
    }
    clamp();
    set("model", quote(upstream_model));
    return std::move(members_);
  }

 private:
  // The member that will be sent under this name, or nullptr.
  EditedMember* find(std::string_view name) {
    const auto found = std::ranges::find_if(members_, [name](const EditedMember& member) {
      return !member.dropped && member.name == name;
    });
    return found == members_.end() ? nullptr : &*found;
  }

  void drop(std::string_view name) {
    if (EditedMember* member = find(name)) member->dropped = true;
  }

  void rename(const std::string& from, const std::string& to) {
    EditedMember* source = find(from);
    if (source == nullptr || from == to || from == "model") return;
    if (find(to) != nullptr) {
      source->dropped = true;  // the request already says it in the provider's own words
    } else {
      source->name = to;
    }
  }

  void insert_default(const std::string& name, const std::string& text) {
    if (std::ranges::find(rules_.drop, name) != rules_.drop.end()) return;
    std::string sent_as = name;
    for (const auto& [from, to] : rules_.rename) {
      if (sent_as == from) sent_as = to;
    }
    if (find(sent_as) == nullptr) members_.push_back({std::move(sent_as), nullptr, false, text});
  }

  void set(std::string_view name, const std::string& text) {
    if (EditedMember* member = find(name)) {
      member->value = text;
    } else {
      members_.push_back({std::string(name), nullptr, false, text});
    }
  }

  std::string_view value_of(const EditedMember& member) const {
    if (member.value) return *member.value;
    return body_.substr(member.source->value_begin,
                        member.source->value_end - member.source->value_begin);
  }

  void clamp() {
    EditedMember* temperature = find("temperature");
    if (temperature == nullptr) return;
    const std::optional<double> wanted = read_number(value_of(*temperature));
    if (!wanted) return;
    const EditedMember* n = find("n");
    const double choices = n == nullptr ? 1 : read_number(value_of(*n)).value_or(1);
    const double allowed = clamp_temperature(*wanted, rules_, choices);
    // An equal value keeps the client's spelling.
    if (allowed != *wanted && std::isfinite(allowed))
      temperature->value = fmt::format("{}", allowed);
  }

  std::string_view body_;
  const BodyRules& rules_;
  std::vector<EditedMember> members_;
};

}  // namespace

std::vector<EditedMember> edit_members(std::string_view body, const BodyView& view,
                                       const BodyRules& rules, std::string_view upstream_model,
                                       Endpoint endpoint) {
  return MemberEditor(body, view, rules).edit(upstream_model, endpoint);
}

}  // namespace spillway
