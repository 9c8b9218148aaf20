#include "config/client_keys.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "config/litellm_keys.hpp"

namespace spillway::config {

namespace {

constexpr std::string_view kMaster = "master";

// A key travels in a header: visible ASCII only.
bool can_be_sent(std::string_view key) {
  return !key.empty() &&
         std::all_of(key.begin(), key.end(), [](char c) { return c > 0x20 && c < 0x7F; });
}

bool known(const std::vector<ClientKey>& keys, std::string_view key) {
  return std::any_of(keys.begin(), keys.end(),
                     [&](const ClientKey& other) { return other.key.reveal() == key; });
}

constexpr std::string_view kNotAKey =
    "must be a key of visible ASCII characters, without spaces, and not empty";

}  // namespace

void read_general_settings(const Node& root, Context& context, std::vector<ClientKey>& keys) {
  Section section(root.find("general_settings"), context, OnMissing::fault);
  if (const auto key = section.text("master_key")) {
    const Node& node = *section.get("master_key");
    if (!can_be_sent(*key)) {
      context.fault_of_value(node, kNotAKey);
    } else {
      if (!key->starts_with("sk-"))
        context.warn(node, "does not begin with sk-, as LiteLLM's clients expect");
      keys.push_back({.name = std::string(kMaster), .key = Secret(*key)});
    }
  }
  section.unsupported(unsupported_general_settings());
  section.finish();
}

void read_client_keys(const std::vector<Node>& list, Context& context,
                      std::vector<ClientKey>& keys) {
  for (const Node& item : list) {
    Section section(&item, context, OnMissing::fault);
    const auto name = section.text("name");
    const auto key = section.text("key");
    section.finish();
    if (item.kind != NodeKind::map) continue;
    for (const std::string_view wanted : {"name", "key"}) {
      if (section.get(wanted) == nullptr) context.fault(item, fmt::format("{} is missing", wanted));
    }
    if (!name || !key) continue;
    if (!can_be_sent(*name)) {
      context.fault(*section.get("name"),
                    "must be a name of visible ASCII characters, without spaces");
    } else if (std::any_of(keys.begin(), keys.end(),
                           [&](const ClientKey& other) { return other.name == *name; })) {
      context.fault(*section.get("name"),
                    fmt::format("the name {} is already that of another key", *name));
    } else if (!can_be_sent(*key)) {
      context.fault_of_value(*section.get("key"), kNotAKey);
    } else if (known(keys, *key)) {
      context.fault_of_value(*section.get("key"),
                             "the same key is already listed under another name");
    } else {
      keys.push_back({.name = *name, .key = Secret(*key)});
    }
  }
}

void add_environment_keys(Context& context, std::vector<ClientKey>& keys) {
  // LiteLLM's variable protects its proxy; moving here must not silently open it.
  for (const std::string_view name : {"SPILLWAY_MASTER_KEY", "LITELLM_MASTER_KEY"}) {
    auto key = context.variables.find(name);
    if (!key) continue;
    // Secrets that were kept in a file often end in its line end.
    while (key->ends_with('\n') || key->ends_with('\r')) key->pop_back();
    if (!can_be_sent(*key)) {
      context.report.fault({}, context.variables.source(name), std::string(kNotAKey));
    } else if (!known(keys, *key)) {
      keys.push_back({.name = std::string(kMaster), .key = Secret(*key)});
    }
  }
}

}  // namespace spillway::config
