#include "config/request_routing.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "config/router_settings.hpp"
#include "config/suggest.hpp"

namespace spillway::config {

namespace {

// Of optional_pre_call_checks. LiteLLM's `prompt_caching` keeps requests with a cacheable beginning
// together; here any long common beginning does.
constexpr auto kChecks = std::to_array<std::string_view>(
    {"session_affinity", "deployment_affinity", "prompt_caching", "enforce_model_rate_limits",
     "router_budget_limiting", "responses_api_deployment_check", "encrypted_content_affinity",
     "forward_client_headers_by_model_group"});

void read_check(const Node& item, Context& context, RouterSettings& out) {
  AffinityRules& affinity = out.affinity;
  if (item.text == "session_affinity") {
    affinity.session = true;
  } else if (item.text == "deployment_affinity") {
    affinity.client_key = true;
  } else if (item.text == "prompt_caching") {
    affinity.prompt_prefix = true;
  } else if (item.text == "enforce_model_rate_limits") {
    out.enforce_model_rate_limits = true;
  } else if (std::find(kChecks.begin(), kChecks.end(), item.text) != kChecks.end()) {
    context.warn(item, fmt::format("{} is not supported yet and has no effect", item.text));
  } else {
    context.fault(item, fmt::format("{} is not a check that exists{}", shown(item),
                                    did_you_mean(item.text, kChecks)));
  }
}

}  // namespace

void read_request_routing(Section& router_settings, Context& context, RouterSettings& out) {
  const bool any = router_settings.boolean("tag_filtering_match_any").value_or(true);
  if (router_settings.boolean("enable_tag_filtering").value_or(false))
    out.tag_filtering = any ? TagMatch::any : TagMatch::all;
  out.pre_call_checks = router_settings.boolean("enable_pre_call_checks").value_or(false);
  if (const auto ttl = router_settings.time("deployment_affinity_ttl_seconds", kPositiveTimes))
    out.affinity.ttl = *ttl;
  if (const auto* checks = router_settings.list("optional_pre_call_checks")) {
    for (const Node& item : *checks) read_check(item, context, out);
  }
}

}  // namespace spillway::config
