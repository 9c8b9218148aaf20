// What a request's own settings change about its attempts.
#include <catch2/catch_test_macros.hpp>
#include <vector>

#include "attempt_scene.hpp"

using namespace spillway;
using namespace spillway::testing;

namespace {

RequestTraits with(RequestOptions options, bool streaming = false) {
  RequestTraits traits;
  traits.streaming = streaming;
  traits.options = std::move(options);
  return traits;
}

ModelMatch model(std::uint32_t group) {
  return {GroupIndex{group}, {}};
}

ModelMatch by_id(std::uint32_t group, std::uint32_t deployment) {
  return {GroupIndex{group}, {}, DeploymentIndex{deployment}};
}

// Groups 0 to 3 of one deployment each; 0 falls back to 1.
Config four_models() {
  Config config;
  for (const char* name : {"a", "b", "c", "d"}) add_deployment(config, add_group(config, name));
  config.groups[0].fallbacks = {model(1)};
  return config;
}

// Whom the request asks if every call fails and nobody is asked again.
std::vector<std::uint32_t> asked_in_turn(Scene& scene, RequestTraits traits,
                                         ModelMatch first = model(0),
                                         ErrorClass error_class = ErrorClass::quota_exhausted) {
  scene.begin(std::move(traits), std::move(first));
  std::vector<std::uint32_t> asked;
  for (scene.sit_out_waits(); scene.calling(); scene.sit_out_waits()) {
    asked.push_back(scene.asked());
    scene.fail(error_class);
  }
  return asked;
}

using Turns = std::vector<std::uint32_t>;

}  // namespace

TEST_CASE("a request's fallbacks replace the configured ones") {
  Scene scene(four_models());
  RequestOptions options;
  options.fallbacks = FallbackRules{{std::nullopt, {model(2), model(3)}}};
  CHECK(asked_in_turn(scene, with(options)) == Turns{0, 2, 3});
}

TEST_CASE("a request's fallbacks for one model are used for that one only") {
  Scene scene(four_models());
  RequestOptions options;
  options.fallbacks = FallbackRules{{model(0), {model(3)}}, {model(3), {model(2)}}};
  CHECK(asked_in_turn(scene, with(options)) == Turns{0, 3, 2});
  options.fallbacks = FallbackRules{{model(1), {model(3)}}};
  Scene other(four_models());
  CHECK(asked_in_turn(other, with(options)) == Turns{0});
}

TEST_CASE("disable_fallbacks keeps a request with the model it names") {
  Scene scene(four_models());
  RequestOptions options;
  options.disable_fallbacks = true;
  options.fallbacks = FallbackRules{{std::nullopt, {model(2)}}};
  CHECK(asked_in_turn(scene, with(options)) == Turns{0});
}

TEST_CASE("a request's own lists for long and for rejected requests come before the configured") {
  RequestOptions options;
  options.context_window_fallbacks = FallbackRules{{std::nullopt, {model(2)}}};
  options.content_policy_fallbacks = FallbackRules{{std::nullopt, {model(3)}}};
  Scene scene(four_models());
  scene.config.groups[0].context_window_fallbacks = std::vector{model(1)};
  scene.config.groups[0].content_policy_fallbacks = {model(1)};
  CHECK(asked_in_turn(scene, with(options), model(0), ErrorClass::context_window_exceeded) ==
        Turns{0, 2});
  CHECK(asked_in_turn(scene, with(options), model(0), ErrorClass::content_policy_violation) ==
        Turns{0, 3});
}

TEST_CASE("num_retries of a request outranks the deployment's and the group's") {
  Config config = group_of(1);
  config.groups[0].num_retries = 3;
  config.deployments[0].num_retries = 2;
  Scene scene(std::move(config));
  RequestOptions options;
  options.num_retries = 0;
  CHECK(asked_in_turn(scene, with(options), model(0), ErrorClass::rate_limit).size() == 1);
  options.num_retries = 1;
  CHECK(asked_in_turn(scene, with(options), model(0), ErrorClass::rate_limit).size() == 2);
}

TEST_CASE("a shortened deadline bounds all attempts together and is the client's") {
  Config config = group_of(2);
  config.router.timeout = seconds(60);
  Scene scene(std::move(config));
  RequestOptions options;
  options.timeout = seconds(5);
  scene.begin(with(options));
  CHECK(scene.call().deadline == kStart + seconds(5));
  CHECK(scene.call().client_deadline);
  scene.now += seconds(2);
  scene.fail(ErrorClass::internal);
  REQUIRE(scene.calling());
  CHECK(scene.call().deadline == kStart + seconds(5));
  CHECK(scene.call().client_deadline);
}

TEST_CASE("a lengthened deadline is waited for, and passing it counts as ever") {
  Config config = group_of(1);
  config.deployments[0].timeout = seconds(10);
  Scene scene(std::move(config));
  RequestOptions options;
  options.timeout = seconds(30);
  scene.begin(with(options));
  CHECK(scene.call().deadline == kStart + seconds(30));
  CHECK_FALSE(scene.call().client_deadline);
}

TEST_CASE("a stream is bounded by the request's stream_timeout, else by its timeout") {
  Config config = group_of(1);
  config.router.stream_timeout = seconds(20);
  Scene scene(std::move(config));
  struct Row {
    std::optional<Duration> timeout, stream_timeout;
    Duration expected;
    bool clients;
  };
  for (const Row& row :
       {Row{seconds(5), {}, seconds(5), true}, Row{seconds(90), {}, seconds(20), false},
        Row{seconds(90), seconds(7), seconds(7), true},
        Row{seconds(5), seconds(40), seconds(40), false}}) {
    RequestOptions options;
    options.timeout = row.timeout;
    options.stream_timeout = row.stream_timeout;
    scene.begin(with(options, true));
    CHECK(scene.call().deadline - scene.now == row.expected);
    CHECK(scene.call().client_deadline == row.clients);
  }
}

TEST_CASE("timeouts.total is nobody's impatience but the operator's") {
  Config config = group_of(1);
  config.timeouts.total = seconds(3);
  Scene scene(std::move(config));
  RequestOptions options;
  options.timeout = seconds(5);
  scene.begin(with(options));
  CHECK(scene.call().deadline == kStart + seconds(3));
  CHECK_FALSE(scene.call().client_deadline);
}

TEST_CASE("a client's deadline that passes counts against nobody, whatever was awaited") {
  for (const ErrorClass error_class : {ErrorClass::timeout, ErrorClass::connection}) {
    Scene scene(group_of(2));
    for (int i = 0; i < 10; ++i) {
      scene.begin();
      Failure failure = failed_with(error_class);
      failure.client_deadline = true;
      scene.fail(failure);
      CHECK(scene.gave_up());
    }
    for (std::uint32_t i = 0; i < 2; ++i)
      CHECK(scene.fleet.availability(DeploymentIndex{i}, scene.now).state == HealthState::closed);
  }
}

TEST_CASE("a deployment called by its id is the only one asked, even while it cools") {
  Scene scene(group_of(3));
  scene.bench(1, ErrorClass::rate_limit, seconds(60));
  CHECK(asked_in_turn(scene, {}, by_id(0, 1)) == Turns{1});
}

TEST_CASE("a deployment called by its id has the default fallbacks and not its group's") {
  Config config = four_models();
  config.default_fallbacks = {model(3)};
  Scene scene(std::move(config));
  CHECK(asked_in_turn(scene, {}, by_id(0, 0)) == Turns{0, 3});
}

TEST_CASE("a fallback by id leads to that deployment alone") {
  Config config = group_of(1);
  const GroupIndex other = add_group(config, "other");
  add_deployment(config, other);
  add_deployment(config, other);
  config.groups[0].fallbacks = {by_id(1, 2)};
  Scene scene(std::move(config));
  CHECK(asked_in_turn(scene, {}) == Turns{0, 2});
}

TEST_CASE("a deployment called by its id is asked again as often as its retries allow") {
  Scene scene(group_of(2));
  CHECK(asked_in_turn(scene, {}, by_id(0, 1), ErrorClass::rate_limit) == Turns{1, 1, 1});
}
