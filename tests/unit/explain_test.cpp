#include "core/explain.hpp"

#include <catch2/catch_test_macros.hpp>

#include "attempt_scene.hpp"

namespace spillway {
namespace {

using testing::group_of;
using testing::kStart;
using testing::Scene;
using testing::with_fallback;

Explanation explained(Scene& scene, std::optional<ErrorClass> if_asked = std::nullopt) {
  Random random(1);
  return explain(scene.config, scene.fleet, {GroupIndex{0}, {}}, {}, if_asked, random, scene.now);
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
  std::vector<std::uint32_t> asked;
  for (const RehearsedStep& step : explanation.steps)
    if (step.called) asked.push_back(step.called->value);
  REQUIRE(asked.size() >= 3);
  CHECK(asked[0] != asked[1]);
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
  Random random(1);
  RequestTraits traits;
  traits.options.tags = {"free"};
  const Explanation explanation =
      explain(scene.config, scene.fleet, {GroupIndex{0}, {}}, traits, {}, random, scene.now);
  const auto& candidates = explanation.groups[0].candidates;
  CHECK_FALSE(candidates[0].callable);
  CHECK(candidates[0].why == "not for requests with these tags; its own: paid, team");
  CHECK(candidates[1].callable);
}

}  // namespace
}  // namespace spillway
