#include <catch2/catch_test_macros.hpp>

#include "config_support.hpp"

namespace spillway::config {
namespace {

using testing::entry;
using testing::has_warning;
using testing::loaded;
using testing::only_deployment;
using testing::only_fault;

const std::string kModel = entry({"model: openai/x", "api_key: k"});

RouterSettings router(std::string_view settings) {
  const auto result = loaded(kModel + "router_settings: {" + std::string(settings) + "}\n");
  CHECK(result.warnings.empty());
  return result.config.router;
}

TEST_CASE("Every strategy has LiteLLM's name, and both usage-based ones are the same") {
  const std::pair<std::string_view, RoutingStrategy> kNames[] = {
      {"simple-shuffle", RoutingStrategy::simple_shuffle},
      {"least-busy", RoutingStrategy::least_busy},
      {"usage-based-routing", RoutingStrategy::usage_based},
      {"usage-based-routing-v2", RoutingStrategy::usage_based},
      {"latency-based-routing", RoutingStrategy::latency_based},
      {"cost-based-routing", RoutingStrategy::cost_based},
      {"adaptive", RoutingStrategy::adaptive},
  };
  for (const auto& [name, strategy] : kNames)
    CHECK(router("routing_strategy: " + std::string(name)).strategy == strategy);
}

TEST_CASE("A strategy that is not supported is a warning, one that does not exist a fault") {
  CHECK(has_warning(loaded(kModel + "router_settings: {routing_strategy: lar1}\n"),
                    "simple-shuffle is used"));
  CHECK(only_fault(kModel + "router_settings: {routing_strategy: least-buzy}\n")
            .find("did you mean \"least-busy\"?") != std::string::npos);
}

TEST_CASE("latency-based routing's arguments are read, and others are faults") {
  const RouterSettings settings = router(
      "routing_strategy: latency-based-routing, "
      "routing_strategy_args: {ttl: 10, lowest_latency_buffer: 0.5}");
  CHECK(settings.latency_ttl == seconds(10));
  CHECK(settings.lowest_latency_buffer == 0.5);
  CHECK(only_fault(kModel + "router_settings: {routing_strategy_args: {tll: 10}}\n")
            .find("did you mean \"ttl\"?") != std::string::npos);
}

TEST_CASE("enforce_model_rate_limits is a check or a setting; other checks are warnings") {
  CHECK_FALSE(router("").enforce_model_rate_limits);
  CHECK(router("optional_pre_call_checks: [enforce_model_rate_limits]").enforce_model_rate_limits);
  CHECK(router("enforce_model_rate_limits: true").enforce_model_rate_limits);
  CHECK(has_warning(loaded(kModel + "router_settings: {optional_pre_call_checks: "
                                    "[router_budget_limiting]}\n"),
                    "router_budget_limiting is not supported"));
  CHECK(only_fault(kModel + "router_settings: {optional_pre_call_checks: "
                            "[enforce_model_rate_limit]}\n")
            .find("did you mean \"enforce_model_rate_limits\"?") != std::string::npos);
}

TEST_CASE("default_max_parallel_requests is for deployments that do not say their own") {
  const std::string setting = "router_settings: {default_max_parallel_requests: 7}\n";
  CHECK(only_deployment(loaded(kModel + setting)).max_parallel_requests == 7u);
  const std::string own =
      entry({"model: openai/x", "api_key: k", "max_parallel_requests: 2"}) + setting;
  CHECK(only_deployment(loaded(own)).max_parallel_requests == 2u);
}

TEST_CASE("The price of a token is that of litellm_params, else of model_info, else unknown") {
  const auto cost = [](std::initializer_list<std::string_view> params, std::string info = "") {
    const auto result = loaded(entry(params) + info);
    CHECK(result.warnings.empty());
    return only_deployment(result).cost_per_token;
  };
  CHECK_FALSE(cost({"model: openai/x", "api_key: k"}));
  CHECK(cost({"model: openai/x", "api_key: k", "input_cost_per_token: 0.5",
              "output_cost_per_token: 0.25"}) == 0.75);
  CHECK(cost({"model: openai/x", "api_key: k", "input_cost_per_token: 0"}) == 0.0);
  CHECK(cost({"model: openai/x", "api_key: k", "input_cost_per_token: 0.5"},
             "    model_info: {input_cost_per_token: 2, output_cost_per_token: 0.25}\n") == 0.75);
}

}  // namespace
}  // namespace spillway::config
