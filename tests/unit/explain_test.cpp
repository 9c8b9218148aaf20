#include "core/explain.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include "attempt_scene.hpp"

namespace spillway {
namespace {

using testing::add_deployment;
using testing::group_of;
using testing::kStart;
using testing::Scene;
using testing::with_fallback;

Explanation explained(Scene& scene, std::optional<ErrorClass> if_asked = std::nullopt) {
  return explain(scene.config, scene.fleet, {GroupIndex{0}, {}}, {}, if_asked, scene.now);
}

std::vector<std::uint32_t> asked(const Explanation& explanation) {
  std::vector<std::uint32_t> asked;
  for (const RehearsedStep& step : explanation.steps)
    if (step.called) asked.push_back(step.called->value);
  return asked;
}

// What a real request asks, everybody failing.
std::vector<std::uint32_t> really_asked(Scene& scene, ErrorClass error_class) {
  std::vector<std::uint32_t> asked;
  scene.begin();
  for (scene.sit_out_waits(); scene.calling(); scene.sit_out_waits()) {
    asked.push_back(scene.asked());
    scene.fail(error_class);
  }
  return asked;
}

TEST_CASE("a healthy group is asked once and answers") {
  Scene scene(group_of(2));
  const Explanation explanation = explained(scene);
  REQUIRE(explanation.groups.size() == 1);
  CHECK(explanation.groups[0].candidates.size() == 2);
  CHECK(explanation.groups[0].candidates[0].callable);
  REQUIRE(explanation.steps.size() == 2);
  CHECK(explanation.steps[0].called);
  CHECK(explanation.steps[1].what == "answers with what it was told");
}

TEST_CASE("if every call is rate limited, everybody is asked, then the fallback") {
  Scene scene(with_fallback(2));
  const Explanation explanation = explained(scene, ErrorClass::rate_limit);
  REQUIRE(explanation.groups.size() == 2);
  const auto order = asked(explanation);
  REQUIRE(order.size() >= 3);
  CHECK(order[0] != order[1]);
  CHECK(explanation.steps.back().what.starts_with("answers 429"));
}

TEST_CASE("a cooling deployment is named with its cause and its time") {
  Scene scene(group_of(2));
  scene.bench(0, ErrorClass::rate_limit, seconds(10));
  const Explanation explanation = explained(scene);
  const Candidate& cooling = explanation.groups[0].candidates[0];
  CHECK_FALSE(cooling.callable);
  CHECK(cooling.why.starts_with("cooling after rate_limit for another 10."));
  CHECK(cooling.why.find("as its provider said") != std::string::npos);
  CHECK(explanation.steps[0].called == DeploymentIndex{1});
}

TEST_CASE("an explanation changes nothing") {
  Scene scene(group_of(2));
  scene.config.deployments[0].order = 1;
  scene.bench(0, ErrorClass::rate_limit, seconds(1));
  scene.now += seconds(2);
  for (int i = 0; i < 5; ++i) {
    const Explanation explanation = explained(scene, ErrorClass::unavailable);
    CHECK(explanation.groups[0].candidates[0].why.starts_with("to be probed"));
    CHECK(explanation.steps[0].called == DeploymentIndex{0});
  }
  CHECK(scene.fleet.availability(DeploymentIndex{0}, scene.now).callable);
  CHECK(scene.in_flight() == 0);
  CHECK(scene.fleet.recent(DeploymentIndex{1}, scene.now).failures == 0);
}

TEST_CASE("a deployment that is left out or lacks the endpoint says so") {
  Scene scene(group_of(3));
  scene.config.deployments[1].targets[0].clear();
  scene.config.deployments[2].unusable = "A_KEY is not set";
  auto& group = scene.config.groups[0];
  group.deployments.pop_back();
  group.left_out.push_back(DeploymentIndex{2});
  const Explanation explanation = explained(scene);
  const auto& candidates = explanation.groups[0].candidates;
  CHECK(candidates[1].why == "does not offer /v1/chat/completions");
  CHECK(candidates[2].why == "left out: A_KEY is not set");
}

TEST_CASE("a deployment whose tags keep a request away says so") {
  Scene scene(group_of(2));
  scene.config.router.tag_filtering = TagMatch::any;
  scene.config.deployments[0].tags = {"paid", "team"};
  scene.config.deployments[1].tags = {"free"};
  RequestTraits traits;
  traits.options.tags = {"free"};
  const Explanation explanation =
      explain(scene.config, scene.fleet, {GroupIndex{0}, {}}, traits, {}, scene.now);
  const auto& candidates = explanation.groups[0].candidates;
  CHECK_FALSE(candidates[0].callable);
  CHECK(candidates[0].why == "not for requests with these tags; its own: paid, team");
  CHECK(candidates[1].callable);
}

TEST_CASE("a deployment called by its id is explained alone, and tags are nothing to it") {
  Scene scene(group_of(2));
  scene.config.router.tag_filtering = TagMatch::any;
  scene.config.deployments[0].tags = {"paid"};
  RequestTraits traits;
  traits.options.tags = {"free"};
  const Explanation explanation = explain(
      scene.config, scene.fleet, {GroupIndex{0}, {}, DeploymentIndex{0}}, traits, {}, scene.now);
  const auto& candidates = explanation.groups[0].candidates;
  REQUIRE(candidates.size() == 1);
  CHECK(candidates[0].deployment == DeploymentIndex{0});
  CHECK(candidates[0].why.starts_with("callable"));
  CHECK(asked(explanation) == std::vector<std::uint32_t>{0});
}

TEST_CASE("so is a fallback to a deployment's id") {
  Scene scene(with_fallback(1));
  scene.config.groups[0].fallbacks = {{GroupIndex{1}, {}, DeploymentIndex{1}}};
  add_deployment(scene.config, GroupIndex{1});
  const Explanation explanation = explained(scene, ErrorClass::authentication);
  REQUIRE(explanation.groups.size() == 2);
  CHECK(explanation.groups[1].candidates.size() == 1);
  CHECK(asked(explanation) == std::vector<std::uint32_t>{0, 1});
}

TEST_CASE("a rehearsal does not let the minute of a rate limit pass") {
  Config config = group_of(1);
  config.router.enforce_model_rate_limits = true;
  config.router.max_wait = seconds(61);
  config.deployments[0].rpm = 2;
  Scene scene(config);
  for (int i = 0; i < 2; ++i)
    REQUIRE(scene.fleet.begin(DeploymentIndex{0}, scene.now, DeploymentHealth::Force::no));
  const Explanation explanation = explained(scene);
  CHECK(explanation.steps[0].what == "waits 60.0 s");
  CHECK(explanation.steps[1].what == "asks deployment-0");
  CHECK(scene.fleet.load(DeploymentIndex{0}, Delivery::whole, scene.now).requests == 2);
  CHECK_FALSE(scene.fleet.begin(DeploymentIndex{0}, scene.now, DeploymentHealth::Force::no));
}

TEST_CASE("a rehearsed failure benches as a real one does") {
  const bool fallback = GENERATE(false, true);
  const auto error_class =
      GENERATE(ErrorClass::rate_limit, ErrorClass::quota_exhausted, ErrorClass::authentication,
               ErrorClass::timeout, ErrorClass::invalid_request);
  CAPTURE(fallback, name(error_class));
  Scene scene(fallback ? with_fallback(2) : group_of(2));
  const auto foretold = asked(explained(scene, error_class));
  CHECK(foretold == really_asked(scene, error_class));
}

TEST_CASE("waiting that consists of many looks is told as one wait") {
  Config config = group_of(1);
  config.deployments[0].max_parallel_requests = 1;
  Scene scene(config);
  REQUIRE(scene.fleet.begin(DeploymentIndex{0}, scene.now, DeploymentHealth::Force::no));
  const Explanation explanation = explained(scene);
  REQUIRE(explanation.steps.size() == 2);
  CHECK(explanation.steps[0].what == "waits 5.0 s");
  CHECK(explanation.steps[1].what.starts_with("answers 429"));
}

TEST_CASE("a call that would be hedged says so, if there is anybody for it") {
  const unsigned deployments = GENERATE(1U, 2U);
  Config config = group_of(deployments);
  config.router.hedge = HedgeRules{.after = milliseconds(700), .share = 0.1};
  Scene scene(config);
  const Explanation explanation = explained(scene);
  const bool told = explanation.steps[0].what.find(
                        "a second one if no content has come after "
                        "0.7 s") != std::string::npos;
  CHECK(told == (deployments == 2));
}

}  // namespace
}  // namespace spillway
