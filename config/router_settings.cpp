#include "config/router_settings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "config/document.hpp"
#include "config/litellm_keys.hpp"
#include "config/redis_settings.hpp"
#include "config/request_routing.hpp"
#include "config/routing_strategy.hpp"
#include "config/scalars.hpp"

namespace spillway::config {

namespace {

constexpr unsigned kAllowedFailsUnset =
    3;  // LiteLLM cannot tell its default from "not set"; nor can its users
constexpr Range<std::uint64_t> kFails{0, 1'000'000};

struct PolicyKey {
  std::string_view key;
  ErrorClass error_class;
};

// LiteLLM's exception names; a few of its exceptions cover more than one class.
constexpr auto kPolicyKeys = std::to_array<PolicyKey>({
    {"BadRequestErrorAllowedFails", ErrorClass::invalid_request},
    {"BadRequestErrorAllowedFails", ErrorClass::unprocessable},
    {"BadRequestErrorAllowedFails", ErrorClass::context_window_exceeded},
    {"AuthenticationErrorAllowedFails", ErrorClass::authentication},
    {"TimeoutErrorAllowedFails", ErrorClass::timeout},
    {"RateLimitErrorAllowedFails", ErrorClass::rate_limit},
    {"ContentPolicyViolationErrorAllowedFails", ErrorClass::content_policy_violation},
    {"InternalServerErrorAllowedFails", ErrorClass::internal},
    {"ServiceUnavailableErrorAllowedFails", ErrorClass::unavailable},
    {"BadGatewayErrorAllowedFails", ErrorClass::bad_gateway},
    {"NotFoundErrorAllowedFails", ErrorClass::not_found},
});

void read_policy(const Node* node, Context& context, AllowedFailsPolicy& policy) {
  Section section(node, context);
  for (const PolicyKey& entry : kPolicyKeys) {
    if (const auto fails = section.count(entry.key, kFails)) {
      policy[static_cast<std::size_t>(entry.error_class)] = static_cast<unsigned>(*fails);
    }
  }
  section.finish();
}

// The keys that both sections have.
void read_shared(Section& section, Context& context, RouterDefaults& out) {
  if (const auto retries = section.count("num_retries", kRetries)) {
    out.num_retries = static_cast<unsigned>(*retries);
  }
  read_cooldown_rules(section, context, out.cooldown);
  const auto lay_over = [&](std::string_view key, const Node*& target) {
    if (const Node* node = section.get(key)) target = node;
  };
  lay_over("fallbacks", out.fallbacks);
  lay_over("context_window_fallbacks", out.context_window_fallbacks);
  lay_over("content_policy_fallbacks", out.content_policy_fallbacks);
  lay_over("default_fallbacks", out.default_fallbacks);
  lay_over("model_group_alias", out.model_group_alias);
}

void read_litellm(const Node* node, Context& context, RouterDefaults& out) {
  Section section(node, context);
  read_shared(section, context, out);
  if (const auto timeout = section.time("request_timeout", kPositiveTimes)) {
    out.router.timeout = *timeout;
  }
  if (section.boolean("drop_params").value_or(false)) out.drop_params = DropParams::yes;
  read_ssl_verify(section, context, out.ca_file);
  section.unsupported(unsupported_litellm_settings());
  section.finish();
}

void read_router(const Node* node, Context& context, RouterDefaults& out) {
  Section section(node, context);
  read_routing_strategy(section, context, out.router);
  if (const auto most = section.count("default_max_parallel_requests", kParallel))
    out.max_parallel_requests = static_cast<unsigned>(*most);
  read_shared(section, context, out);
  if (const auto timeout = section.time("timeout", kPositiveTimes)) out.router.timeout = *timeout;
  if (const auto timeout = section.time("stream_timeout", kPositiveTimes)) {
    out.router.stream_timeout = *timeout;
  }
  if (const auto wait = section.time("retry_after", kTimes)) out.router.retry_after = *wait;
  if (const auto most = section.count("max_fallbacks", {0, 100})) {
    out.router.max_fallbacks = static_cast<unsigned>(*most);
  }
  read_request_routing(section, context, out.router);
  out.retry_policy = section.get("retry_policy");
  out.model_group_retry_policy = section.get("model_group_retry_policy");
  out.default_litellm_params = section.map("default_litellm_params");
  out.cooldown.disabled = section.boolean("disable_cooldowns").value_or(false);
  out.redis = read_redis(section, context, out.ca_file);
  section.unsupported(unsupported_router_settings());
  section.finish();
}

}  // namespace

void read_cooldown_rules(Section& section, Context& context, CooldownRules& rules) {
  if (const auto time = section.time("cooldown_time", kTimes)) rules.cooldown_time = *time;
  if (const auto fails = section.count("allowed_fails", kFails)) {
    rules.allowed_fails.reset();
    if (*fails != kAllowedFailsUnset) rules.allowed_fails = static_cast<unsigned>(*fails);
  }
  read_policy(section.get("allowed_fails_policy"), context, rules.allowed_fails_policy);
}

std::string authorities_fault(const std::string& file) {
  const auto text = read_text(file);
  if (!text) return text.error();
  return text->find("CERTIFICATE-----") == std::string::npos ? "holds no PEM certificate" : "";
}

void read_ssl_verify(Section& section, Context& context, std::string& ca_file) {
  const auto value = section.text("ssl_verify");
  if (!value) return;
  const Node& node = *section.get("ssl_verify");
  if (const auto flag = parse_boolean(*value)) {
    if (!*flag) {
      context.warn(node,
                   "certificates are always verified; name a CA file instead to trust your own");
    }
    return;
  }
  if (const std::string wrong = authorities_fault(*value); !wrong.empty()) {
    context.report.depends_on(*value);
    const bool one_line = node.text.find('\n') == std::string::npos;
    const std::string named = one_line ? fmt::format("\"{}\"", node.text) : shown(node);
    return context.fault(
        node, fmt::format("must be a file of trusted certificates; {} {}", named, wrong));
  }
  ca_file = *value;
}

void read_deployment_cooldown_rules(Section& section, Context& context, CooldownRules& rules) {
  const bool own_allowance =
      section.get("allowed_fails") != nullptr || section.get("allowed_fails_policy") != nullptr;
  if (own_allowance) {
    rules.allowed_fails.reset();
    rules.allowed_fails_policy = {};
  }
  read_cooldown_rules(section, context, rules);
  // Unlike the router's, a deployment's own 3 can only have been written on purpose.
  const Node* fails = section.get("allowed_fails");
  if (fails != nullptr && parse_count(fails->text) == kAllowedFailsUnset)
    rules.allowed_fails = kAllowedFailsUnset;
}

RouterDefaults read_router_settings(const Node& root, Context& context) {
  RouterDefaults out;
  read_litellm(root.find("litellm_settings"), context, out);
  read_router(root.find("router_settings"), context, out);
  return out;
}

}  // namespace spillway::config
