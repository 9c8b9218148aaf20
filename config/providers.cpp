#include "config/providers.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "config/base_url.hpp"
#include "config/json_reader.hpp"
#include "config/scalars.hpp"
#include "config/upstream_headers.hpp"

namespace spillway::config {

namespace {

constexpr Range<double> kTemperatures{0, 10};
constexpr std::array<std::string_view, 2> kNoDifference{"base_class", "extra_supported_params"};
constexpr std::array<std::string_view, 2> kOtherEndpoints{"/v1/messages", "/v1/realtime"};

using Pairs = std::vector<std::pair<std::string, std::string>>;

// A map from text to text.
Pairs read_pairs(Section& entry, std::string_view key, Context& context) {
  Pairs out;
  const Node* map = entry.map(key);
  if (map == nullptr) return out;
  for (const Member& member : map->members) {
    if (member.value.kind != NodeKind::scalar || !member.value.quoted) {
      context.fault(member.value, fmt::format("must be a text, not {}", shown(member.value)));
      continue;
    }
    out.emplace_back(member.key, member.value.text);
  }
  return out;
}

Pairs read_headers(Section& entry, Context& context) {
  Pairs out = read_pairs(entry, "headers", context);
  for (auto& [name, value] : out) {
    if (const std::string wrong = header_fault(name, value); !wrong.empty()) {
      context.fault(*entry.get("headers"), wrong);
    }
    if (const std::string why = header_left_out(name); !why.empty()) {
      context.warn(*entry.get("headers"), fmt::format("{} {}", name, why));
    }
  }
  std::erase_if(out, [](const auto& header) { return !header_left_out(header.first).empty(); });
  return out;
}

// Names of environment variables; "" stands for none.
std::vector<std::string> read_names(Section& entry, std::string_view key) {
  std::vector<std::string> names = entry.texts(key).value_or(std::vector<std::string>{});
  std::erase(names, "");
  return names;
}

std::array<bool, kEndpointCount> read_endpoints(Section& entry, Context& context) {
  std::array<bool, kEndpointCount> out{};
  const std::vector<Node>* list = entry.list("supported_endpoints");
  if (list == nullptr || list->empty()) {
    out.fill(true);
    return out;
  }
  out[static_cast<std::size_t>(Endpoint::chat_completions)] = true;
  for (const Node& item : *list) {
    const auto known =
        std::find_if(kEndpoints.begin(), kEndpoints.end(), [&](const EndpointTraits& traits) {
          return item.text == fmt::format("/v1{}", traits.path) || item.text == traits.path;
        });
    if (known != kEndpoints.end()) {
      out[static_cast<std::size_t>(known->endpoint)] = true;
    } else if (std::find(kOtherEndpoints.begin(), kOtherEndpoints.end(), item.text) ==
               kOtherEndpoints.end()) {
      context.warn(item, fmt::format("the endpoint {} is not known here", shown(item)));
    }
  }
  return out;
}

void read_base_url(Section& entry, Provider& provider, const Node& node, Context& context) {
  const auto text = entry.text("base_url");
  if (!text) {
    if (!entry.has("base_url") && provider.left_out.empty()) {
      context.fault(node, "base_url is missing");
    }
    return;
  }
  provider.base_url = *text;
  std::string filled = *text;
  for (const auto& [name, variables] : provider.base_url_params) {
    const std::string placeholder = "{" + name + "}";
    const std::size_t at = filled.find(placeholder);
    if (at == std::string::npos) {
      context.fault(*entry.get("base_url_params"), fmt::format("base_url has no {}", placeholder));
    } else {
      filled.replace(at, placeholder.size(), "x");
    }
  }
  if (text->empty()) return;
  if (const auto parsed = parse_base_url(filled); !parsed) {
    context.fault(*entry.get("base_url"), parsed.error());
  }
}

void read_choices(Section& entry, Provider& provider, Context& context) {
  if (const auto auth = entry.text("auth")) {
    if (*auth != "bearer" && *auth != "none") {
      context.fault(*entry.get("auth"), "must be \"bearer\" or \"none\"");
    }
    provider.auth = *auth == "none" ? Auth::none : Auth::bearer;
  }
  if (const auto style = entry.text("url_style")) {
    if (*style != "openai" && *style != "azure") {
      context.fault(*entry.get("url_style"), "must be \"openai\" or \"azure\"");
    }
    provider.url_style = *style == "azure" ? UrlStyle::azure : UrlStyle::openai;
  }
}

void read_behaviour(Section& entry, Provider& provider, Context& context) {
  provider.param_mappings = read_pairs(entry, "param_mappings", context);
  Section constraints(entry.get("constraints"), context);
  provider.temperature_max = constraints.number("temperature_max", kTemperatures);
  provider.temperature_min = constraints.number("temperature_min", kTemperatures);
  provider.temperature_min_with_n_gt_1 =
      constraints.number("temperature_min_with_n_gt_1", kTemperatures);
  Section special(entry.get("special_handling"), context);
  provider.content_list_to_string =
      special.boolean("convert_content_list_to_string").value_or(false);
  provider.force_store_false = special.boolean("force_store_false").value_or(false);
  for (Section* section : {&constraints, &special}) {
    for (const Member* unknown : section->rest()) {
      context.warn(unknown->value, "is not known and has no effect");
    }
  }
}

Provider read_provider(const Member& member, Context& context) {
  Provider provider;
  provider.slug = member.key;
  Section entry(&member.value, context);
  provider.left_out = entry.text("left_out").value_or("");
  provider.api_key_env = read_names(entry, "api_key_env");
  if (!entry.has("api_key_env") && provider.left_out.empty()) {
    context.fault(member.value, "api_key_env is missing");
  }
  provider.api_base_env = read_names(entry, "api_base_env");
  if (const Node* params = entry.map("base_url_params")) {
    Section names(params, context);
    for (const Member& param : params->members) {
      provider.base_url_params[param.key] = read_names(names, param.key);
    }
  }
  read_base_url(entry, provider, member.value, context);
  read_choices(entry, provider, context);
  read_behaviour(entry, provider, context);
  provider.headers = read_headers(entry, context);
  provider.endpoints = read_endpoints(entry, context);
  provider.assistant_prefill = entry.boolean("assistant_prefill").value_or(false);
  provider.unsupported_params =
      entry.texts("unsupported_params").value_or(std::vector<std::string>{});
  provider.api_key_required = entry.boolean("api_key_required").value_or(true);
  provider.api_version_env = read_names(entry, "api_version_env");
  provider.api_base_path = entry.text("api_base_path").value_or("");
  provider.note = entry.text("note").value_or("");
  if (provider.api_key_env.empty() && provider.left_out.empty()) provider.api_key_required = false;
  entry.ignore(kNoDifference);
  for (const Member* unknown : entry.rest()) {
    context.report.warn(unknown->place, unknown->value.path, "is not known and has no effect");
  }
  return provider;
}

}  // namespace

void read_providers(std::string_view text, std::string_view file, Context& context,
                    Registry& registry) {
  const std::uint32_t number = context.report.add_file(std::string(file));
  auto root = read_json(text, number, context.report);
  if (!root) return;
  assign_paths(*root, "");
  if (root->kind != NodeKind::map) {
    return context.fault(*root, "must be one JSON object with an entry for each provider");
  }
  for (const Member& member : root->members) {
    if (member.key.empty() || member.key.find('/') != std::string::npos) {
      context.report.fault(member.place, member.value.path,
                           "a provider's name is not empty and holds no '/'");
      continue;
    }
    if (member.value.kind != NodeKind::map) {
      context.fault(member.value,
                    fmt::format("must be an object, not {}", kind_name(member.value)));
      continue;
    }
    registry[member.key] = read_provider(member, context);
  }
}

}  // namespace spillway::config
