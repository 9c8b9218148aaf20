// Which deployments a request may go to, before anybody's health is looked at: tags and windows.
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <set>
#include <vector>

#include "attempt_scene.hpp"

using namespace spillway;
using namespace spillway::testing;

namespace {

using Tags = std::vector<std::string>;
using Turns = std::vector<std::uint32_t>;

RequestTraits tagged(Tags tags) {
  RequestTraits traits;
  traits.options.tags = std::move(tags);
  return traits;
}

RequestTraits of_at_least(std::uint64_t tokens) {
  RequestTraits traits;
  traits.least_input_tokens = tokens;
  return traits;
}

Config filtered(std::vector<Tags> tags, TagMatch match = TagMatch::any) {
  Config config = group_of(static_cast<unsigned>(tags.size()));
  for (std::size_t i = 0; i < tags.size(); ++i) config.deployments[i].tags = std::move(tags[i]);
  config.router.tag_filtering = match;
  return config;
}

// The deployments asked in turn if every call is refused for good.
Turns asked(Scene& scene, const RequestTraits& traits,
            ErrorClass error_class = ErrorClass::quota_exhausted) {
  scene.begin(traits);
  Turns turns;
  for (scene.sit_out_waits(); scene.calling(); scene.sit_out_waits()) {
    turns.push_back(scene.asked());
    scene.fail(error_class);
  }
  return turns;
}

std::set<std::uint32_t> all_asked(Config config, const RequestTraits& traits) {
  Scene scene(std::move(config));
  const Turns turns = asked(scene, traits);
  return {turns.begin(), turns.end()};
}

using Set = std::set<std::uint32_t>;

}  // namespace

TEST_CASE("a tagged request goes to deployments with one of its tags") {
  const std::vector<Tags> tags{{"free"}, {"paid"}, {}, {"team", "paid"}};
  CHECK(all_asked(filtered(tags), tagged({"paid"})) == Set{1, 3});
  CHECK(all_asked(filtered(tags), tagged({"free", "team"})) == Set{0, 3});
}

TEST_CASE("where all tags must match, one is not enough") {
  const std::vector<Tags> tags{{"paid"}, {"team", "paid"}};
  CHECK(all_asked(filtered(tags, TagMatch::all), tagged({"paid", "team"})) == Set{1});
}

TEST_CASE("an untagged request goes to those tagged default, or to all if nobody is") {
  CHECK(all_asked(filtered({{"default"}, {"paid"}, {}}), tagged({})) == Set{0});
  CHECK(all_asked(filtered({{"free"}, {"paid"}, {}}), tagged({})) == Set{0, 1, 2});
}

TEST_CASE("those tagged default take a tagged request only when nobody with its tag can") {
  const std::vector<Tags> tags{{"default"}, {"paid"}};
  for (int i = 0; i < 20; ++i) {
    Scene scene(filtered(tags));
    CHECK(asked(scene, tagged({"paid"})) == Turns{1, 0});
  }
  CHECK(all_asked(filtered(tags), tagged({"nobody's"})) == Set{0});
}

TEST_CASE("a request whose tags nobody takes is refused without a call, and may fall back") {
  Scene scene(filtered({{"free"}, {}}));
  CHECK(asked(scene, tagged({"paid"})).empty());
  REQUIRE(scene.gave_up());
  CHECK(scene.end().failure.status == 401);
  CHECK(scene.end().failure.param == "tags");
  CHECK_FALSE(scene.end().retry_after);

  Config config = with_fallback(1);
  config.router.tag_filtering = TagMatch::any;
  config.deployments[1].tags = {"paid"};
  Scene other(std::move(config));
  CHECK(asked(other, tagged({"paid"})) == Turns{1});
}

TEST_CASE("tags mean nothing unless the router filters by them, nor in a call by id") {
  Config config = filtered({{"free"}, {"paid"}});
  Scene scene(config);
  scene.begin(tagged({"paid"}), {GroupIndex{0}, {}, DeploymentIndex{0}});
  CHECK(scene.asked() == 0);
  config.router.tag_filtering.reset();
  CHECK(all_asked(config, tagged({"paid"})) == Set{0, 1});
}

TEST_CASE("a request known not to fit passes small windows by") {
  Config config = group_of(3);
  config.router.pre_call_checks = true;
  config.deployments[0].max_input_tokens = 1000;
  config.deployments[1].max_input_tokens = 100'000;
  CHECK(all_asked(config, of_at_least(1001)) == Set{1, 2});
  CHECK(all_asked(config, of_at_least(1000)) == Set{0, 1, 2});
  config.router.pre_call_checks = false;
  CHECK(all_asked(config, of_at_least(1001)) == Set{0, 1, 2});
}

TEST_CASE("a request that fits no window goes to the fallbacks for long ones, or is too long") {
  Config config = with_fallback(2);
  config.router.pre_call_checks = true;
  for (int i = 0; i < 2; ++i) config.deployments[static_cast<std::size_t>(i)].max_input_tokens = 10;
  const GroupIndex large = add_group(config, "large");
  add_deployment(config, large);
  config.groups[0].context_window_fallbacks = std::vector<ModelMatch>{{large, {}}};
  Scene scene(config);
  CHECK(asked(scene, of_at_least(11)) == Turns{3});

  config.groups[0].context_window_fallbacks.emplace();
  Scene other(config);
  CHECK(asked(other, of_at_least(11)).empty());
  REQUIRE(other.gave_up());
  CHECK(other.end().failure.error_class == ErrorClass::context_window_exceeded);
  CHECK(other.end().failure.status == 400);
  CHECK(other.end().failure.code == "context_length_exceeded");
}

TEST_CASE("a model that found the request too long is not asked again in a fallback group") {
  Config config = with_fallback(1);
  const DeploymentIndex other = add_deployment(config, GroupIndex{1});
  config.deployments[1].model = config.deployments[0].model;
  Scene scene(config);
  CHECK(asked(scene, {}, ErrorClass::context_window_exceeded) == Turns{0, other.value});

  config.deployments[0].max_input_tokens = 1000;
  config.deployments[1].max_input_tokens = 2000;
  Scene larger(config);
  const Turns turns = asked(larger, {}, ErrorClass::context_window_exceeded);
  CHECK(std::ranges::count(turns, 1U) == 1);
}

TEST_CASE("a model of the same name elsewhere is another model") {
  Config config = with_fallback(1);
  config.deployments[1].model = config.deployments[0].model;
  config.deployments[1].origin.host = "elsewhere";
  Scene scene(config);
  CHECK(asked(scene, {}, ErrorClass::context_window_exceeded) == Turns{0, 1});
}

TEST_CASE("a retry policy decides how often its class is asked again") {
  Config config = group_of(1);
  config.groups[0].num_retries = 2;
  const auto of = [&](ErrorClass error_class) -> std::optional<unsigned>& {
    return config.groups[0].retry_policy[static_cast<std::size_t>(error_class)];
  };
  of(ErrorClass::rate_limit) = 0;
  of(ErrorClass::internal) = 3;
  of(ErrorClass::timeout) = 1;
  const auto calls = [&](ErrorClass error_class) {
    Scene scene(config);
    return asked(scene, {}, error_class).size();
  };
  CHECK(calls(ErrorClass::rate_limit) == 1);
  CHECK(calls(ErrorClass::internal) == 4);
  CHECK(calls(ErrorClass::timeout) == 2);
  CHECK(calls(ErrorClass::unavailable) == 2);
}
