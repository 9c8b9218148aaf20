#include <catch2/catch_test_macros.hpp>

#include "config_support.hpp"

namespace spillway::config {
namespace {

using testing::entry;
using testing::faults;
using testing::has_warning;
using testing::loaded;
using testing::only_deployment;
using testing::only_fault;

const std::string kModel = entry({"model: openai/x", "api_key: k"});

TEST_CASE("Without settings the defaults are those of the contract") {
  const Config config = loaded(kModel).config;
  CHECK(config.listen_host == "127.0.0.1");
  CHECK(config.listen_port == 4000);
  CHECK(config.router == RouterSettings{});
  CHECK(config.timeouts == Timeouts{});
  CHECK(config.limits == Limits{});
  CHECK(config.groups[0].num_retries == 2);
  CHECK(config.keys.empty());
  CHECK(only_deployment(loaded(kModel)).cooldown == CooldownRules{});
}

TEST_CASE("litellm_settings and router_settings are read, and the router's win") {
  const auto result =
      loaded(kModel +
             "litellm_settings: {num_retries: 5, request_timeout: 100, cooldown_time: 7, "
             "allowed_fails: 1}\n"
             "router_settings: {num_retries: 1, timeout: 30, stream_timeout: 3, retry_after: 2, "
             "max_fallbacks: 4, disable_cooldowns: true, cooldown_time: 9}\n");
  const Config& config = result.config;
  CHECK(config.groups[0].num_retries == 1);
  CHECK(config.router.timeout == seconds(30));
  CHECK(config.router.stream_timeout == seconds(3));
  CHECK(config.router.retry_after == seconds(2));
  CHECK(config.router.max_fallbacks == 4);
  const CooldownRules& cooldown = config.deployments[0].cooldown;
  CHECK(cooldown.disabled);
  CHECK(cooldown.cooldown_time == seconds(9));
  CHECK(cooldown.allowed_fails == 1u);
}

TEST_CASE("litellm_settings count where the router says nothing") {
  const Config config =
      loaded(kModel + "litellm_settings: {num_retries: 5, request_timeout: 100}\n").config;
  CHECK(config.groups[0].num_retries == 5);
  CHECK(config.router.timeout == seconds(100));
}

TEST_CASE("allowed_fails of 3 is LiteLLM's way of not saying anything") {
  const auto fails = [](std::string_view value) {
    return loaded(kModel + "router_settings: {allowed_fails: " + std::string(value) + "}\n")
        .config.deployments[0]
        .cooldown.allowed_fails;
  };
  CHECK_FALSE(fails("3").has_value());
  CHECK(fails("0") == 0u);
  CHECK(fails("4") == 4u);
}

TEST_CASE("allowed_fails_policy maps LiteLLM's exception names to error classes") {
  const auto result =
      loaded(kModel +
             "router_settings:\n  allowed_fails_policy: {RateLimitErrorAllowedFails: 0, "
             "BadRequestErrorAllowedFails: 5, InternalServerErrorAllowedFails: 2}\n");
  const AllowedFailsPolicy& policy = result.config.deployments[0].cooldown.allowed_fails_policy;
  const auto of = [&](ErrorClass error_class) {
    return policy[static_cast<std::size_t>(error_class)];
  };
  CHECK(of(ErrorClass::rate_limit) == 0u);
  CHECK(of(ErrorClass::invalid_request) == 5u);
  CHECK(of(ErrorClass::unprocessable) == 5u);
  CHECK(of(ErrorClass::internal) == 2u);
  CHECK_FALSE(of(ErrorClass::timeout).has_value());
  CHECK(only_fault(kModel +
                   "router_settings: {allowed_fails_policy: {RateLimitErorAllowedFails: 0}}\n")
            .find("did you mean \"RateLimitErrorAllowedFails\"?") != std::string::npos);
}

TEST_CASE("LiteLLM's keys without effect are warnings with their line, in every section") {
  const auto result = loaded(kModel +
                             "router_settings: {client_ttl: 60}\n"
                             "litellm_settings: {success_callback: [langfuse]}\n"
                             "general_settings: {database_url: x}\n"
                             "guardrails: []\n");
  CHECK(has_warning(result, "config.yaml:6:19: router_settings.client_ttl: is not supported yet"));
  CHECK(has_warning(result,
                    "config.yaml:7:20: litellm_settings.success_callback: is not supported yet"));
  CHECK(
      has_warning(result, "config.yaml:8:20: general_settings.database_url: is not supported yet"));
  CHECK(has_warning(result, "config.yaml:9:1: guardrails: is not supported yet"));
}

TEST_CASE("Unknown keys are faults with the nearest known key, in every section") {
  struct Row {
    std::string_view yaml;
    std::string_view fault;
  };
  constexpr Row kRows[] = {
      {"router_setings: {}",
       "config.yaml:6:1: router_setings: unknown section; did you mean \"router_settings\"?"},
      {"router_settings: {num_retry: 1}",
       "router_settings.num_retry: unknown key; did you mean \"num_retries\"?"},
      {"litellm_settings: {drop_parms: 1}", "unknown key; did you mean \"drop_params\"?"},
      {"general_settings: {master_kye: 1}", "unknown key; did you mean \"master_key\"?"},
      {"spillway: {listn: x}", "unknown key; did you mean \"listen\"?"},
      {"spillway: {limits: {bodi: 1}}", "unknown key; did you mean \"body\"?"},
      {"spillway: {timeouts: {conect: 1}}", "unknown key; did you mean \"connect\"?"},
      {"spillway: {access_log: {formt: json}}", "unknown key; did you mean \"format\"?"},
      {"spillway: {zzzzzz: 1}", "spillway.zzzzzz: unknown key"},
  };
  for (const Row& row : kRows) {
    INFO(row.yaml);
    CHECK(only_fault(kModel + std::string(row.yaml) + "\n").find(row.fault) != std::string::npos);
  }
  CHECK(only_fault(
            "model_list: [{model_name: m, litelm_params: {}, litellm_params: {model: openai/x}}]")
            .find("did you mean \"litellm_params\"?") != std::string::npos);
}

TEST_CASE("Sections for anchors may be kept under x- names") {
  CHECK(loaded("x-common: &c {api_key: k}\nmodel_list:\n  - model_name: m\n    litellm_params: "
               "{<<: *c, model: openai/x}\n")
            .config.deployments[0]
            .usable());
}

TEST_CASE("environment_variables set values for the rest of the file, over the process's own") {
  const auto result =
      loaded(entry({"model: openai/x", "api_key: os.environ/K", "api_base: https://${H}/v1"}) +
                 "environment_variables: {K: from-file, H: os.environ/REAL, PORT: 6329}\n",
             {{"K", "from-process"}, {"REAL", "h.test"}});
  CHECK(testing::header(only_deployment(result), "authorization") == "Bearer from-file");
  CHECK(only_deployment(result).origin.host == "h.test");
}

}  // namespace
}  // namespace spillway::config
