#include "core/attempt_loop.hpp"

#include <catch2/catch_test_macros.hpp>
#include <vector>

#include "attempt_scene.hpp"

namespace spillway {
namespace {

using testing::add_deployment;
using testing::add_group;
using testing::group_of;
using testing::Scene;
using testing::with_fallback;

// --- windows and content -------------------------------------------------------------------------

TEST_CASE("a context-window error moves only to a larger declared window") {
  Scene scene(group_of(3));
  scene.config.deployments[0].order = 1;
  scene.config.deployments[0].max_input_tokens = 8000;
  scene.config.deployments[1].max_input_tokens = 8000;
  scene.config.deployments[2].max_input_tokens = 32000;
  scene.begin();
  scene.fail(ErrorClass::context_window_exceeded);
  REQUIRE(scene.calling());
  CHECK(scene.asked() == 2);
  // The prompt does not become shorter by another kind of failure.
  scene.fail(ErrorClass::timeout);
  CHECK(scene.gave_up());
}

TEST_CASE("a window that was not declared cannot be compared") {
  Scene scene(group_of(2));
  scene.config.deployments[0].order = 1;
  scene.config.deployments[1].max_input_tokens = 32000;
  scene.begin();
  scene.fail(ErrorClass::context_window_exceeded);
  CHECK(scene.gave_up());
}

TEST_CASE("a context-window error uses its own fallbacks where configured, else the general ones") {
  Config config = with_fallback(1);
  const GroupIndex large = add_group(config, "large");
  add_deployment(config, large);
  Scene general(config);
  general.begin();
  general.fail(ErrorClass::context_window_exceeded);
  REQUIRE(general.calling());
  CHECK(general.asked() == 1);

  config.groups[0].context_window_fallbacks = {{large, {}}};
  Scene own(config);
  own.begin();
  own.fail(ErrorClass::context_window_exceeded);
  REQUIRE(own.calling());
  CHECK(own.asked() == 2);
  own.fail(ErrorClass::context_window_exceeded);
  REQUIRE(own.gave_up());
  CHECK(own.end().failure.error_class == ErrorClass::context_window_exceeded);
}

TEST_CASE("rejected content goes to the content-policy fallbacks only") {
  Config config = with_fallback(3);
  const GroupIndex lenient = add_group(config, "lenient");
  add_deployment(config, lenient);
  config.groups[0].content_policy_fallbacks = {{lenient, {}}};
  Scene scene(config);
  scene.begin();
  scene.fail(ErrorClass::content_policy_violation);
  REQUIRE(scene.calling());
  CHECK(scene.asked() == 4);
  scene.fail(ErrorClass::content_policy_violation);
  REQUIRE(scene.gave_up());
  CHECK(scene.end().failure.error_class == ErrorClass::content_policy_violation);
}

TEST_CASE("content rejected by a fallback is not offered to the remaining ones") {
  Config config = with_fallback(1);
  const GroupIndex other = add_group(config, "other");
  add_deployment(config, other);
  config.groups[0].fallbacks.push_back({other, {}});
  Scene scene(config);
  scene.begin();
  scene.fail(ErrorClass::quota_exhausted);
  CHECK(scene.asked() == 1);
  scene.fail(ErrorClass::content_policy_violation);
  REQUIRE(scene.gave_up());
  CHECK(scene.end().failure.error_class == ErrorClass::quota_exhausted);
}

TEST_CASE("rejected content stays with those chosen for it, however they fail") {
  Config config = with_fallback(1);
  const GroupIndex other = add_group(config, "other");
  add_deployment(config, other);
  const GroupIndex lenient = add_group(config, "lenient");
  add_deployment(config, lenient);
  config.groups[0].fallbacks.push_back({other, {}});
  config.groups[1].content_policy_fallbacks = {{lenient, {}}};
  Scene scene(config);
  scene.begin();
  scene.fail(ErrorClass::quota_exhausted);
  scene.fail(ErrorClass::content_policy_violation);
  REQUIRE(scene.calling());
  CHECK(scene.asked() == 3);
  scene.fail(ErrorClass::timeout);
  CHECK(scene.gave_up());
}

// --- fallback groups -----------------------------------------------------------------------------

// Groups 0..n-1 of one deployment each, with the given fallbacks.
Config chain(const std::vector<std::vector<std::uint32_t>>& fallbacks) {
  Config config;
  for (std::size_t i = 0; i < fallbacks.size(); ++i) {
    add_deployment(config, add_group(config, "group-" + std::to_string(i)));
  }
  for (std::size_t i = 0; i < fallbacks.size(); ++i) {
    for (const std::uint32_t to : fallbacks[i]) {
      config.groups[i].fallbacks.push_back({GroupIndex{to}, {}});
    }
  }
  return config;
}

std::vector<std::uint32_t> visited_order(Config config) {
  Scene scene(std::move(config));
  scene.begin();
  std::vector<std::uint32_t> order;
  for (scene.sit_out_waits(); scene.calling(); scene.sit_out_waits()) {
    CHECK(scene.loop->group().value == scene.asked());
    order.push_back(scene.asked());
    scene.fail(ErrorClass::timeout);
  }
  CHECK(scene.loop->fallbacks() == order.size() - 1);
  return order;
}

TEST_CASE("fallback groups come breadth first, each at most once") {
  CHECK(visited_order(chain({{1, 2}, {3}, {0, 4}, {1}, {}})) ==
        std::vector<std::uint32_t>{0, 1, 2, 3, 4});
  CHECK(visited_order(chain({{1, 2}, {3, 5}, {4}, {}, {}, {}})) ==
        std::vector<std::uint32_t>{0, 1, 2, 3, 5, 4});
  CHECK(visited_order(chain({{0, 0, 1}, {0}})) == std::vector<std::uint32_t>{0, 1});
}

TEST_CASE("at most max_fallbacks groups are entered") {
  CHECK(visited_order(chain({{1, 2, 3, 4, 5, 6}, {}, {}, {}, {}, {}, {}})).size() == 6);
  Config config = chain({{1, 2, 3}, {}, {}, {}});
  config.router.max_fallbacks = 1;
  CHECK(visited_order(std::move(config)).size() == 2);
}

TEST_CASE("two models of one wildcard group are two fallbacks") {
  Config config = group_of(1);
  const GroupIndex groq = add_group(config, "groq/*");
  add_deployment(config, groq);
  config.deployments[1].model = "*";
  config.groups[0].fallbacks = {{groq, {"a"}}, {groq, {"b"}}};
  Scene scene(std::move(config));
  scene.begin();
  scene.fail(ErrorClass::timeout);
  CHECK(scene.call().upstream_model == "a");
  scene.fail(ErrorClass::timeout);
  REQUIRE(scene.calling());
  CHECK(scene.call().upstream_model == "b");
}

TEST_CASE("when everything failed the first group's first error is returned") {
  Scene scene(with_fallback(1));
  scene.begin();
  scene.fail(ErrorClass::quota_exhausted);
  scene.fail(ErrorClass::timeout);
  REQUIRE(scene.gave_up());
  CHECK(scene.end().failure.error_class == ErrorClass::quota_exhausted);
}

TEST_CASE("a verdict by a fallback ends the request with the first group's error") {
  Config config = chain({{1, 2}, {}, {}});
  Scene scene(std::move(config));
  scene.begin();
  scene.fail(ErrorClass::quota_exhausted);
  scene.fail(ErrorClass::invalid_request);
  REQUIRE(scene.gave_up());
  CHECK(scene.end().failure.error_class == ErrorClass::quota_exhausted);
}

TEST_CASE("each group's budget earns from the requests that enter it") {
  Scene scene(with_fallback(1));
  for (int i = 0; i < 50; ++i) {
    scene.begin();
    if (scene.asked() == 0) scene.fail(ErrorClass::quota_exhausted, seconds(300));
    CHECK(scene.asked() == 1);
    scene.report(attempt::Completed{});
  }
  for (std::uint32_t group = 0; group < 2; ++group) {
    unsigned drawn = 0;
    while (scene.fleet.draw_retry(GroupIndex{group}, scene.now)) ++drawn;
    CHECK(drawn == 10);
  }
}

TEST_CASE("a fallback by id to a deployment that failed already is not asked as if it had not") {
  Config config = group_of(1);
  config.groups[0].num_retries = 10;
  config.groups[0].fallbacks = {{GroupIndex{0}, {}, DeploymentIndex{0}}};
  Scene scene(std::move(config));
  CHECK(scene.calls_if_all_fail(ErrorClass::rate_limit, milliseconds(10)) <= 1 + bounds::kAskAgain);
  CHECK(scene.calls_if_all_fail(ErrorClass::unavailable) <= 2);
}

}  // namespace
}  // namespace spillway
