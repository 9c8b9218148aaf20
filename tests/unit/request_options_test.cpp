#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <string>
#include <vector>

#include "core/bounds.hpp"
#include "core/read_request_options.hpp"
#include "core/splice.hpp"
#include "decision_support.hpp"

using namespace spillway;
using namespace spillway::testing;

namespace {

using Fields = std::vector<HeaderView>;

// Groups a, b and c of one deployment each.
Config three_models() {
  Config config;
  for (const char* name : {"a", "b", "c"}) add_deployment(config, add_group(config, name));
  config.read_keys = std::vector<std::string>(core_read_keys().begin(), core_read_keys().end());
  config.deployment_ids.emplace("deployment-2", DeploymentIndex{2});
  return config;
}

std::string with_members(std::string_view members) {
  return R"({"model":"a","messages":[],)" + std::string(members) + "}";
}

std::expected<RequestOptions, BodyError> options_of(std::string_view members,
                                                    const Fields& headers = {}) {
  const Config config = three_models();
  const std::string body = with_members(members);
  const auto view = view_body(body, Endpoint::chat_completions, config.read_keys);
  REQUIRE(view);
  return read_request_options(config, body, *view, headers);
}

RequestOptions good(std::string_view members, const Fields& headers = {}) {
  const auto options = options_of(members, headers);
  if (!options) UNSCOPED_INFO(options.error().message);
  REQUIRE(options);
  return *options;
}

std::string param_of_mistake(std::string_view members, const Fields& headers = {}) {
  const auto options = options_of(members, headers);
  REQUIRE_FALSE(options);
  CHECK(options.error().message.find("'" + options.error().param + "'") == 0);
  return options.error().param;
}

ModelMatch model(std::uint32_t group) {
  return {GroupIndex{group}, {}};
}

}  // namespace

TEST_CASE("a request without settings of its own has none") {
  CHECK(good(R"("seed":1)") == RequestOptions{});
  CHECK(good(R"("num_retries":null,"timeout":null,"tags":null,"fallbacks":null)") ==
        RequestOptions{});
}

TEST_CASE("a request that brings a configuration along is refused, and null is none") {
  CHECK(param_of_mistake(R"("user_config":{"model_list":[]})") == "user_config");
  CHECK(param_of_mistake(R"("router_settings_override":{"num_retries":9})") ==
        "router_settings_override");
  CHECK(good(R"("user_config":null,"cache":{"no-cache":true},"mock_response":"x")") ==
        RequestOptions{});
}

TEST_CASE("numbers and flags of the body are read with LiteLLM's units") {
  const RequestOptions options =
      good(R"("num_retries":0,"timeout":1.5,"stream_timeout":20,"disable_fallbacks":true)");
  CHECK(options.num_retries == 0U);
  CHECK(options.timeout == milliseconds(1500));
  CHECK(options.stream_timeout == seconds(20));
  CHECK(options.disable_fallbacks);
  CHECK(good(R"("request_timeout":7)").timeout == seconds(7));
  CHECK(good(R"("request_timeout":7,"timeout":8)").timeout == seconds(8));
}

TEST_CASE("headers say the same things, and the body counts where both do") {
  const Fields headers{{"X-LiteLLM-Timeout", "3"},
                       {"x-litellm-stream-timeout", " 0.5 "},
                       {"x-litellm-num-retries", "4"}};
  const RequestOptions options = good(R"("seed":1)", headers);
  CHECK(options.timeout == seconds(3));
  CHECK(options.stream_timeout == milliseconds(500));
  CHECK(options.num_retries == 4U);
  CHECK(good(R"("timeout":9)", headers).timeout == seconds(9));
}

TEST_CASE("a value of the wrong type or out of bounds names its field") {
  CHECK(param_of_mistake(R"("num_retries":"2")") == "num_retries");
  CHECK(param_of_mistake(R"("num_retries":-1)") == "num_retries");
  CHECK(param_of_mistake(R"("num_retries":1.5)") == "num_retries");
  CHECK(param_of_mistake(R"("num_retries":101)") == "num_retries");
  CHECK(param_of_mistake(R"("timeout":"10")") == "timeout");
  CHECK(param_of_mistake(R"("timeout":0)") == "timeout");
  CHECK(param_of_mistake(R"("timeout":1e400)") == "timeout");
  CHECK(param_of_mistake(R"("request_timeout":[])") == "request_timeout");
  CHECK(param_of_mistake(R"("stream_timeout":false)") == "stream_timeout");
  CHECK(param_of_mistake(R"("disable_fallbacks":1)") == "disable_fallbacks");
  CHECK(param_of_mistake(R"("tags":"a")") == "tags");
  CHECK(param_of_mistake(R"("tags":["a",1])") == "tags");
  CHECK(param_of_mistake(R"("fallbacks":"b")") == "fallbacks");
  CHECK(param_of_mistake(R"("fallbacks":[1])") == "fallbacks");
  CHECK(param_of_mistake(R"("fallbacks":[{}])") == "fallbacks");
  CHECK(param_of_mistake(R"("fallbacks":[{"a":[1]}])") == "fallbacks");
  CHECK(param_of_mistake(R"("fallbacks":[{"model":"b","messages":[]}])") == "fallbacks");
  CHECK(param_of_mistake(R"("seed":1)", {{"x-litellm-timeout", "soon"}}) == "x-litellm-timeout");
  CHECK(param_of_mistake(R"("seed":1)", {{"x-litellm-num-retries", ""}}) ==
        "x-litellm-num-retries");
}

TEST_CASE("tags come from the body, its metadata and a header") {
  const RequestOptions options = good(R"("tags":["free","b\u0061r"],"metadata":{"tags":["team"]})",
                                      {{"x-litellm-tags", "paid, free,"}});
  CHECK(options.tags == std::vector<std::string>{"bar", "free", "paid", "team"});
}

TEST_CASE("metadata that is not a list of tags is the provider's own") {
  CHECK(good(R"("metadata":{"tags":"x"})").tags.empty());
  CHECK(good(R"("metadata":"x")").tags.empty());
}

TEST_CASE("too many tags and too long ones are refused") {
  std::string many = R"("tags":[)";
  for (std::size_t i = 0; i <= bounds::kRequestTags; ++i) many += i == 0 ? R"("t")" : R"(,"t")";
  CHECK(param_of_mistake(many + "]") == "tags");
  const std::string tag(bounds::kTagBytes + 1, 't');
  CHECK(param_of_mistake(R"("tags":[")" + tag + R"("])") == "tags");
  CHECK(param_of_mistake(R"("seed":1)", {{"x-litellm-tags", tag}}) == "x-litellm-tags");
}

TEST_CASE("fallbacks are names for every model, or lists for one") {
  const auto names = good(R"("fallbacks":["b",{"model":"c"}])").fallbacks;
  CHECK(names == FallbackRules{{std::nullopt, {model(1), model(2)}}});
  const auto lists = good(R"("fallbacks":[{"a":["b"]},{"*":["c"]}])").fallbacks;
  CHECK(lists == FallbackRules{{model(0), {model(1)}}, {std::nullopt, {model(2)}}});
  CHECK(good(R"("fallbacks":[])").fallbacks == FallbackRules{});
  CHECK(good(R"("context_window_fallbacks":["b"])").context_window_fallbacks);
  CHECK(good(R"("content_policy_fallbacks":["b"])").content_policy_fallbacks);
}

TEST_CASE("a fallback may be a deployment's id") {
  const auto fallbacks = good(R"("fallbacks":["deployment-2"])").fallbacks;
  REQUIRE(fallbacks);
  CHECK(fallbacks->front().targets ==
        std::vector{ModelMatch{GroupIndex{2}, {}, DeploymentIndex{2}}});
}

TEST_CASE("a fallback that is not configured is the client's mistake") {
  const auto options = options_of(R"("fallbacks":["b","nobody"])");
  REQUIRE_FALSE(options);
  CHECK(options.error().param == "fallbacks");
  CHECK(options.error().code == "model_not_found");
  CHECK(param_of_mistake(R"("fallbacks":[{"nobody":["b"]}])") == "fallbacks");
}

TEST_CASE("more fallbacks than the bound are refused") {
  std::string many = R"("fallbacks":["b")";
  for (std::size_t i = 0; i < bounds::kRequestFallbacks; ++i) many += R"(,"b")";
  CHECK(param_of_mistake(many + "]") == "fallbacks");
}

TEST_CASE("what is the gateway's own is cut out of the body, and nothing else") {
  const Config config = three_models();
  const std::string body =
      R"({"timeout":5, "model":"a", "num_retries":1,"stream_timeout":2, "metadata":{"tags":["x"]},)"
      R"("tags":["x"],"fallbacks":["b"],"Timeout":6,"context_window_fallbacks":[],)"
      R"("content_policy_fallbacks":[],"disable_fallbacks":false,"litellm_session_id":"s",)"
      R"("litellm_trace_id":"t"})";
  // Only exact spellings are the gateway's; what merely looks like one is refused as a repetition.
  CHECK_FALSE(view_body(body, Endpoint::chat_completions, config.read_keys));
  const std::string once =
      body.substr(0, body.find(R"("Timeout")")) + body.substr(body.find(R"("context_window)"));
  const auto view = view_body(once, Endpoint::chat_completions, config.read_keys);
  REQUIRE(view);
  const auto sent =
      splice(once, *view, config.deployments[0], "upstream-0", Endpoint::chat_completions);
  CHECK(sent.to_string() == R"({ "model":"upstream-0",  "metadata":{"tags":["x"]}})");
}
