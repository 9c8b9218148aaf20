// Settings about single requests: retry policies, tags, checks before a call, affinity, defaults.
#include <catch2/catch_test_macros.hpp>
#include <string>

#include "config_support.hpp"

using namespace spillway;
using namespace spillway::config;
using namespace spillway::config::testing;

namespace {

const std::string kTwo =
    "model_list:\n"
    "  - {model_name: a, litellm_params: {model: openai/x, api_base: 'http://h/v1'},\n"
    "     model_info: {id: one}}\n"
    "  - {model_name: b, litellm_params: {model: openai/y, api_base: 'http://h/v1'},\n"
    "     model_info: {id: two}}\n";

Config configured(const std::string& router) {
  const Loaded result = loaded(kTwo + "router_settings:\n" + router);
  for (const Notice& notice : result.warnings) UNSCOPED_INFO(to_string(notice));
  CHECK(result.warnings.empty());
  return result.config;
}

std::optional<unsigned> retries(const ModelGroup& group, ErrorClass error_class) {
  return group.retry_policy[static_cast<std::size_t>(error_class)];
}

}  // namespace

TEST_CASE("a retry policy maps LiteLLM's exception names to error classes") {
  const Config config = configured(
      "  retry_policy: {TimeoutErrorRetries: 1, RateLimitErrorRetries: 0,\n"
      "    InternalServerErrorRetries: 4, AuthenticationErrorRetries: 0}\n");
  for (const ModelGroup& group : config.groups) {
    CHECK(retries(group, ErrorClass::timeout) == 1U);
    CHECK(retries(group, ErrorClass::rate_limit) == 0U);
    CHECK(retries(group, ErrorClass::internal) == 4U);
    CHECK(retries(group, ErrorClass::connection) == 4U);
    CHECK_FALSE(retries(group, ErrorClass::unavailable));
    CHECK_FALSE(retries(group, ErrorClass::authentication));
  }
}

TEST_CASE("a group's own retry policy replaces the general one") {
  const Config config = configured(
      "  retry_policy: {TimeoutErrorRetries: 1, RateLimitErrorRetries: 3}\n"
      "  model_group_alias: {alias: b}\n"
      "  model_group_retry_policy: {alias: {RateLimitErrorRetries: 5}}\n");
  CHECK(retries(group(config, "a"), ErrorClass::rate_limit) == 3U);
  CHECK(retries(group(config, "b"), ErrorClass::rate_limit) == 5U);
  CHECK_FALSE(retries(group(config, "b"), ErrorClass::timeout));
}

TEST_CASE("a retry policy that cannot help, or is for nobody, is told") {
  const Loaded result = loaded(kTwo +
                               "router_settings:\n  retry_policy: {BadRequestErrorRetries: 2}\n"
                               "  model_group_retry_policy: {c: {RateLimitErrorRetries: 5}}\n");
  CHECK(has_warning(result, "BadRequestErrorRetries: has no effect"));
  CHECK(has_warning(result, "there is no model group \"c\""));
  CHECK(only_fault(kTwo + "router_settings: {retry_policy: {RateLimitErorRetries: 1}}\n")
            .find("RateLimitErrorRetries") != std::string::npos);
}

TEST_CASE("tag filtering is off unless enabled, and matches any tag unless told otherwise") {
  CHECK_FALSE(configured("  tag_filtering_match_any: false\n").router.tag_filtering);
  CHECK(configured("  enable_tag_filtering: true\n").router.tag_filtering == TagMatch::any);
  CHECK(configured("  {enable_tag_filtering: true, tag_filtering_match_any: false}\n")
            .router.tag_filtering == TagMatch::all);
}

TEST_CASE("pre-call checks and affinity are enabled by LiteLLM's names") {
  CHECK_FALSE(configured("  num_retries: 1\n").router.pre_call_checks);
  CHECK(configured("  enable_pre_call_checks: true\n").router.pre_call_checks);
  CHECK(configured("  num_retries: 1\n").router.affinity == AffinityRules{});
  const AffinityRules all =
      configured(
          "  optional_pre_call_checks: [session_affinity, deployment_affinity, prompt_caching]\n"
          "  deployment_affinity_ttl_seconds: 60\n")
          .router.affinity;
  CHECK(all == AffinityRules{true, true, true, seconds(60)});
  CHECK(only_fault(kTwo + "router_settings: {optional_pre_call_checks: [sesion_affinity]}\n")
            .find("session_affinity") != std::string::npos);
}

TEST_CASE("a warning about a default comes once, however many deployments have it") {
  const Loaded result = loaded(
      "model_list:\n"
      "  - {model_name: m, litellm_params: {model: openai/a, api_key: k}}\n"
      "  - {model_name: m, litellm_params: {model: openai/b, api_key: k}}\n"
      "router_settings: {default_litellm_params: {a_field_of_its_own: 1}}\n");
  CHECK(has_warning(result, "is not a setting, so it is sent to the provider"));
  CHECK(result.warnings.size() == 1);
}

TEST_CASE("default_litellm_params fill in what a deployment does not say, and change no id") {
  const std::string model =
      "model_list:\n"
      "  - {model_name: a, litellm_params: {model: openai/x, api_base: 'http://h/v1', timeout: "
      "5}}\n";
  const Config plain = loaded(model).config;
  const Config config =
      loaded(
          model +
          "router_settings: {default_litellm_params: {timeout: 9, stream_timeout: 7, seed: 3}}\n")
          .config;
  CHECK(config.deployments[0].timeout == seconds(5));
  CHECK(config.deployments[0].stream_timeout == seconds(7));
  CHECK(config.deployments[0].body.defaults ==
        std::vector<std::pair<std::string, std::string>>{{"seed", "3"}});
  CHECK(config.deployments[0].id == plain.deployments[0].id);
}

TEST_CASE("what a deployment tolerates replaces what the router does") {
  const auto rules = [](std::string_view own) {
    return loaded(
               "model_list:\n  - model_name: a\n"
               "    litellm_params: {model: openai/x, api_base: 'http://h/v1'}\n"
               "    model_info: {" +
               std::string(own) +
               "}\nrouter_settings: {allowed_fails: 9,\n"
               "  allowed_fails_policy: {RateLimitErrorAllowedFails: 2}}\n")
        .config.deployments[0]
        .cooldown;
  };
  const auto limit = [](const CooldownRules& cooldown) {
    return cooldown.allowed_fails_policy[static_cast<std::size_t>(ErrorClass::rate_limit)];
  };
  CHECK(limit(rules("mode: chat")) == 2U);
  CHECK(rules("mode: chat").allowed_fails == 9U);
  CHECK_FALSE(limit(rules("allowed_fails: 3")));
  CHECK(rules("allowed_fails: 3").allowed_fails == 3U);
  CHECK(limit(rules("allowed_fails_policy: {RateLimitErrorAllowedFails: 0}")) == 0U);
  CHECK_FALSE(rules("allowed_fails_policy: {RateLimitErrorAllowedFails: 0}").allowed_fails);
  CHECK(rules("cooldown_time: 7").cooldown_time == seconds(7));
}

TEST_CASE("a deployment's id is a name for it, and for a fallback") {
  const Config config = configured("  {fallbacks: [{a: [two]}], default_fallbacks: [b]}\n");
  const auto match = find_model(config, "one");
  REQUIRE(match);
  CHECK(match->deployment == DeploymentIndex{0});
  CHECK(group(config, "a").fallbacks.front().deployment == DeploymentIndex{1});
  CHECK(config.default_fallbacks == std::vector<ModelMatch>{{GroupIndex{1}, {}}});
}

TEST_CASE("a name that is both a group's and a deployment's id means the group, and is told") {
  const Loaded result = loaded(
      "model_list:\n"
      "  - {model_name: a, litellm_params: {model: openai/x, api_base: 'http://h/v1'},\n"
      "     model_info: {id: a}}\n"
      "  - {model_name: a, litellm_params: {model: openai/y, api_base: 'http://h/v1'}}\n");
  CHECK_FALSE(find_model(result.config, "a")->deployment);
  CHECK(has_warning(result, "is a model group and the id of a deployment"));
}

TEST_CASE("a deployment behind a wildcard cannot be called by its id") {
  const Config config =
      loaded(
          "model_list:\n"
          "  - {model_name: 'x/*', litellm_params: {model: 'openai/*', api_base: 'http://h/v1'},\n"
          "     model_info: {id: one}}\n")
          .config;
  CHECK_FALSE(find_model(config, "one"));
}

TEST_CASE("LiteLLM's response headers are off unless asked for") {
  CHECK_FALSE(loaded(kTwo).config.litellm_headers);
  CHECK(loaded(kTwo + "spillway: {litellm_headers: true}\n").config.litellm_headers);
}
