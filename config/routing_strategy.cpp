#include "config/routing_strategy.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include "config/router_settings.hpp"
#include "config/suggest.hpp"
#include "core/bounds.hpp"

namespace spillway::config {

namespace {

struct StrategyName {
  std::string_view name;
  std::optional<RoutingStrategy> strategy;  // nullopt: LiteLLM's, not ours
};

constexpr auto kStrategies = std::to_array<StrategyName>({
    {"simple-shuffle", RoutingStrategy::simple_shuffle},
    {"least-busy", RoutingStrategy::least_busy},
    {"usage-based-routing", RoutingStrategy::usage_based},
    {"usage-based-routing-v2", RoutingStrategy::usage_based},
    {"latency-based-routing", RoutingStrategy::latency_based},
    {"cost-based-routing", RoutingStrategy::cost_based},
    {"adaptive", RoutingStrategy::adaptive},
    {"provider-budget-routing", std::nullopt},
    {"lar1", std::nullopt},
});

constexpr std::string_view kEnforced = "enforce_model_rate_limits";
constexpr Range<double> kPrices{0, 1e9};
constexpr Range<double> kBuffers{0, 1000};

void read_name(Section& section, Context& context, RouterSettings& out) {
  const auto name = section.text("routing_strategy");
  if (!name) return;
  const Node& node = *section.get("routing_strategy");
  const auto found = std::ranges::find(kStrategies, *name, &StrategyName::name);
  if (found == kStrategies.end()) {
    std::vector<std::string_view> names;
    for (const StrategyName& known : kStrategies) names.push_back(known.name);
    context.fault(
        node, fmt::format("\"{}\" is not a routing strategy{}", *name, did_you_mean(*name, names)));
  } else if (!found->strategy) {
    context.warn(node, fmt::format("{} is not supported; simple-shuffle is used", *name));
  } else {
    out.strategy = *found->strategy;
  }
}

void read_arguments(const Node* node, Context& context, RouterSettings& out) {
  Section section(node, context);
  if (const auto ttl = section.time("ttl", kPositiveTimes)) out.latency_ttl = *ttl;
  if (const auto buffer = section.number("lowest_latency_buffer", kBuffers))
    out.lowest_latency_buffer = *buffer;
  const auto samples = section.count("max_latency_list_size", {1, 1'000'000});
  if (samples && *samples != bounds::kLatencySamples)
    context.warn(*section.get("max_latency_list_size"),
                 fmt::format("has no effect: the last {} times are kept", bounds::kLatencySamples));
  section.finish();
}

}  // namespace

void read_routing_strategy(Section& router_settings, Context& context, RouterSettings& out) {
  read_name(router_settings, context, out);
  read_arguments(router_settings.get("routing_strategy_args"), context, out);
  if (const auto enforced = router_settings.boolean(kEnforced))
    out.enforce_model_rate_limits = *enforced;
}

std::optional<double> read_cost_per_token(Section& params, Section& info) {
  const auto price = [&](std::string_view key) {
    const auto own = params.number(key, kPrices);
    const auto noted = info.number(key, kPrices);
    return own ? own : noted;
  };
  const auto input = price("input_cost_per_token");
  const auto output = price("output_cost_per_token");
  if (!input && !output) return std::nullopt;
  return input.value_or(0.0) + output.value_or(0.0);
}

}  // namespace spillway::config
