#include <catch2/catch_test_macros.hpp>

#include "config_support.hpp"
#include "core/body.hpp"

namespace spillway::config {
namespace {

using testing::entry;
using testing::has_warning;
using testing::loaded;
using testing::only_deployment;

using Pairs = std::vector<std::pair<std::string, std::string>>;

TEST_CASE(
    "Request parameters of an entry become body defaults, with their JSON types and no warning") {
  const auto result =
      loaded(entry({"model: openai/x", "api_key: k", "temperature: 0.10", "max_tokens: 80_000",
                    "stop: [a, 'b\"']", "response_format: {type: json_object}", "user: '5'",
                    "logprobs: true", "seed:"}));
  CHECK(only_deployment(result).body.defaults ==
        Pairs{{"temperature", "0.10"},
              {"max_tokens", "80000"},
              {"stop", R"(["a","b\""])"},
              {"response_format", R"({"type":"json_object"})"},
              {"user", "\"5\""},
              {"logprobs", "true"},
              {"seed", "null"}});
  CHECK(result.warnings.empty());
}

TEST_CASE("An unknown parameter is sent, with a warning that names the nearest known key") {
  const auto result =
      loaded(entry({"model: openai/x", "api_key: k", "temprature: 1", "quite_unknown: 2"}));
  CHECK(only_deployment(result).body.defaults ==
        Pairs{{"temprature", "1"}, {"quite_unknown", "2"}});
  CHECK(has_warning(
      result,
      "config.yaml:6:7: model_list[0].litellm_params.temprature: is not a setting, so it is "
      "sent to the provider as a body field; did you mean \"temperature\"?"));
  CHECK(has_warning(
      result, "quite_unknown: is not a setting, so it is sent to the provider as a body field"));
}

TEST_CASE("A misspelt setting is told apart from a body field") {
  CHECK(has_warning(loaded(entry({"model: openai/x", "api_key: k", "api_bse: http://h"})),
                    "did you mean \"api_base\"?"));
}

TEST_CASE("Credentials, prices and what is the client's to say are never sent") {
  const auto result =
      loaded(entry({"model: openai/x", "api_key: k", "aws_access_key_id: a", "vertex_project: p",
                    "s3_bucket_name: b", "some_api_key: c", "client_secret: d",
                    "input_cost_per_token: 1", "stream: true", "messages: []", "max_retries: 3",
                    "mock_response: hi", "litellm_credential_name: n"}));
  CHECK(only_deployment(result).body.defaults.empty());
  CHECK(result.warnings.size() == 10);  // a price is for cost-based routing
}

TEST_CASE("extra_body is laid over the other parameters") {
  const auto result =
      loaded(entry({"model: openai/x", "api_key: k", "top_k: 1",
                    "extra_body: {top_k: 5, chat_template_kwargs: {a: false}, model: no}"}));
  CHECK(only_deployment(result).body.defaults ==
        Pairs{{"top_k", "5"}, {"chat_template_kwargs", R"({"a":false})"}});
}

TEST_CASE("Values of parameters may come from the environment, as strings") {
  const auto result =
      loaded(entry({"model: openai/x", "api_key: k", "user: os.environ/WHO", "seed: ${N}"}),
             {{"WHO", "me"}, {"N", "7"}});
  CHECK(only_deployment(result).body.defaults == Pairs{{"user", "\"me\""}, {"seed", "\"7\""}});
  const auto missing =
      loaded(entry({"model: openai/x", "api_key: k", "metadata_x: {deep: [os.environ/WHO]}"}));
  CHECK(only_deployment(missing).unusable == "WHO is not set");
}

TEST_CASE("A number that JSON does not have is a fault") {
  CHECK(testing::only_fault(entry({"model: openai/x", "api_key: k", "temperature: .nan"}))
            .find("JSON") != std::string::npos);
}

TEST_CASE("drop_params removes what the provider does not take, from anywhere it is switched on") {
  const std::vector<std::string> groq{"logprobs", "logit_bias", "top_logprobs"};
  const auto drops = [](const std::string& yaml) {
    return only_deployment(loaded(yaml)).body.drop;
  };
  const std::string model = entry({"model: groq/x", "api_key: k"});
  CHECK(drops(model).empty());
  CHECK(drops(model + "litellm_settings: {drop_params: True}\n") == groq);
  CHECK(drops(entry({"model: groq/x", "api_key: k", "drop_params: true"})) == groq);
  CHECK(drops(entry({"model: groq/x", "api_key: k", "drop_params: false"}) +
              "litellm_settings: {drop_params: true}\n")
            .empty());
}

TEST_CASE("additional_drop_params are dropped at the top level, and deeper ones are named") {
  const auto result = loaded(entry(
      {"model: openai/x", "api_key: k", "additional_drop_params: [user, 'tools[*].strict']"}));
  CHECK(only_deployment(result).body.drop == std::vector<std::string>{"user"});
  CHECK(has_warning(result, "only top-level fields"));
}

TEST_CASE("A provider's mappings, limits and special handling reach the deployment") {
  const auto rules = [](std::string_view model) {
    return only_deployment(loaded(entry({"model: " + std::string(model), "api_key: k"}))).body;
  };
  CHECK(rules("publicai/x").rename == Pairs{{"max_completion_tokens", "max_tokens"}});
  CHECK(rules("publicai/x").content_list_to_string);
  CHECK(rules("scx-ai/x").temperature_max == 1.99);
  CHECK(rules("parasail/x").force == Pairs{{"store", "false"}});
  CHECK(rules("openai/x") == BodyRules{});
}

TEST_CASE("Every key that rules read is in the read set, folded, sorted and once") {
  const auto result = loaded(entry({"model: mistral/x", "api_key: k", "Odd_Key: 1",
                                    "drop_params: true", "additional_drop_params: [Zed]"}));
  const auto keys = result.config.read_keys.names();
  for (const std::string_view key : {"odd_key", "zed", "max_completion_tokens", "max_tokens",
                                     "seed", "random_seed", "logit_bias"}) {
    INFO(key);
    CHECK(std::binary_search(keys.begin(), keys.end(), key));
  }
  for (const std::string_view key : core_read_keys())
    CHECK(std::binary_search(keys.begin(), keys.end(), key));
  CHECK(std::is_sorted(keys.begin(), keys.end()));
  CHECK(std::adjacent_find(keys.begin(), keys.end()) == keys.end());
}

}  // namespace
}  // namespace spillway::config
