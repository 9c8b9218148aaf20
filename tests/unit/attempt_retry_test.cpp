#include "core/attempt_loop.hpp"

#include <catch2/catch_test_macros.hpp>
#include <vector>

#include "attempt_scene.hpp"
#include "core/recourse.hpp"

namespace spillway {
namespace {

using testing::failed_with;
using testing::group_of;
using testing::Scene;
using testing::with_fallback;

// --- asking again --------------------------------------------------------------------------------

TEST_CASE("how often a group of one is asked, by class") {
  struct Row {
    ErrorClass error_class;
    unsigned calls;
  };
  const Row rows[] = {
      {ErrorClass::rate_limit, 3},     {ErrorClass::quota_exhausted, 1},
      {ErrorClass::authentication, 1}, {ErrorClass::permission_denied, 1},
      {ErrorClass::not_found, 1},      {ErrorClass::timeout, 1},
      {ErrorClass::internal, 2},       {ErrorClass::bad_gateway, 2},
      {ErrorClass::unavailable, 2},    {ErrorClass::protocol, 2},
      {ErrorClass::connection, 2},     {ErrorClass::invalid_request, 1},
  };
  for (const Row& row : rows) {
    INFO(name(row.error_class));
    Scene scene(group_of(1));
    CHECK(scene.calls_if_all_fail(row.error_class) == row.calls);
    CHECK(scene.end().failure.error_class == row.error_class);
  }
}

TEST_CASE("num_retries bounds asking again; the deployment's own wins") {
  Scene scene(group_of(1));
  scene.config.groups[0].num_retries = 0;
  CHECK(scene.calls_if_all_fail(ErrorClass::rate_limit) == 1);
  CHECK(scene.calls_if_all_fail(ErrorClass::internal) == 1);
  scene.config.deployments[0].num_retries = 3;
  CHECK(scene.calls_if_all_fail(ErrorClass::rate_limit) == 4);
}

TEST_CASE("a persistent rate limit without a hint never makes a burst") {
  for (unsigned seed = 0; seed < 200; ++seed) {
    Scene scene(group_of(1));
    scene.fleet.random().seed(seed);
    scene.config.groups[0].num_retries = 50;
    scene.begin();
    std::vector<TimePoint> calls;
    for (scene.sit_out_waits(); scene.calling(); scene.sit_out_waits()) {
      calls.push_back(scene.now);
      scene.fail(ErrorClass::rate_limit);
    }
    CHECK(calls.size() == 6);
    for (std::size_t i = 4; i < calls.size(); ++i) CHECK(calls[i] - calls[i - 4] >= seconds(3));
  }
}

TEST_CASE("the backoff is half a second, doubling to eight, with full jitter") {
  Random random{3};
  for (unsigned again = 0; again < 3; ++again) {
    const Duration step = milliseconds(500) * (1 << again);
    Duration shortest = step;
    Duration longest{};
    for (int i = 0; i < 1000; ++i) {
      const Duration drawn = backoff(again, random);
      shortest = std::min(shortest, drawn);
      longest = std::max(longest, drawn);
    }
    CHECK(longest <= step);
    CHECK(longest > step * 9 / 10);
    CHECK(shortest < step / 10);
  }
  CHECK(backoff(3, random) == seconds(4));
  CHECK(backoff(4, random) == seconds(8));
  CHECK(backoff(40, random) == seconds(8));
}

TEST_CASE("retry_after is the least pause before asking again") {
  Scene scene(group_of(1));
  scene.config.router.retry_after = seconds(3);
  scene.begin();
  scene.fail(ErrorClass::internal);
  REQUIRE(scene.waiting());
  CHECK(scene.wait_length() == seconds(3));
}

TEST_CASE(
    "a group of one is asked again after the hint, is never benched, and its answer passed on") {
  Scene scene(group_of(1));
  scene.begin();
  scene.fail(ErrorClass::rate_limit, seconds(2));
  REQUIRE(scene.waiting());
  CHECK(scene.wait_length() == seconds(2));
  CHECK(scene.fleet.availability(DeploymentIndex{0}, scene.now).callable);
  scene.sit_out_waits();
  REQUIRE(scene.calling());
  Failure failure = failed_with(ErrorClass::rate_limit, seconds(60));
  scene.fail(failure);
  REQUIRE(scene.gave_up());
  CHECK(scene.end().failure.message == "rate_limit");
  CHECK(scene.end().retry_after == seconds(60));
  CHECK_FALSE(scene.end().should_not_retry);
  scene.begin();
  CHECK(scene.calling());
}

TEST_CASE("waiting for hints stays within max_wait in total") {
  Scene scene(group_of(1));
  scene.begin();
  scene.fail(ErrorClass::rate_limit, seconds(3));
  CHECK(scene.sit_out_waits() == seconds(3));
  scene.fail(ErrorClass::rate_limit, seconds(3));
  REQUIRE(scene.gave_up());
  CHECK(scene.end().retry_after == seconds(3));
}

TEST_CASE("our own backoff does not use up max_wait") {
  Scene scene(group_of(1));
  scene.config.router.retry_after = seconds(3);
  scene.begin();
  scene.fail(ErrorClass::rate_limit);
  CHECK(scene.sit_out_waits() == seconds(3));
  scene.fail(ErrorClass::rate_limit, seconds(4));
  CHECK(scene.waiting());
}

TEST_CASE("another of the group comes before asking again") {
  Scene scene(group_of(2));
  scene.begin();
  const auto first = scene.asked();
  scene.fail(ErrorClass::internal);
  const auto second = scene.asked();
  CHECK(first != second);
  scene.fail(ErrorClass::internal);
  CHECK(scene.waiting());
  scene.sit_out_waits();
  CHECK(scene.calling());
  CHECK(scene.loop->attempts() == 3);
}

TEST_CASE("asking again comes before the fallback") {
  Scene scene(with_fallback(1));
  scene.begin();
  scene.fail(ErrorClass::internal);
  scene.sit_out_waits();
  CHECK(scene.asked() == 0);
  scene.fail(ErrorClass::internal);
  CHECK(scene.asked() == 1);
  CHECK(scene.loop->fallbacks() == 1);
}

TEST_CASE("a deployment benched meanwhile by others is not asked again before its time") {
  Scene scene(with_fallback(1));
  scene.begin();
  scene.fail(ErrorClass::internal);
  REQUIRE(scene.waiting());
  scene.bench(0, ErrorClass::rate_limit, seconds(60));
  scene.sit_out_waits();
  REQUIRE(scene.calling());
  CHECK(scene.asked() == 1);
}

TEST_CASE("the retry budget is held from the call to its head, not during the backoff") {
  Scene scene(group_of(1));
  const auto left = [&] {
    unsigned drawn = 0;
    while (scene.fleet.draw_retry(GroupIndex{0}, scene.now)) ++drawn;
    for (unsigned i = 0; i < drawn; ++i) scene.fleet.give_back_retry(GroupIndex{0});
    return drawn;
  };
  scene.begin();
  scene.fail(ErrorClass::internal);
  REQUIRE(scene.waiting());
  CHECK(left() == 3);
  scene.sit_out_waits();
  CHECK(left() == 2);
  scene.report(attempt::HeadArrived{});
  CHECK(left() == 3);
  scene.report(attempt::Completed{});
  CHECK(left() == 3);
}

TEST_CASE("a retry that fails, or whose client leaves, gives its share of the budget back") {
  Scene scene(group_of(1));
  const auto left = [&] {
    unsigned drawn = 0;
    while (scene.fleet.draw_retry(GroupIndex{0}, scene.now)) ++drawn;
    for (unsigned i = 0; i < drawn; ++i) scene.fleet.give_back_retry(GroupIndex{0});
    return drawn;
  };
  scene.begin();
  scene.fail(ErrorClass::internal);
  scene.sit_out_waits();
  CHECK(left() == 2);
  scene.fail(ErrorClass::internal);
  CHECK(left() == 3);
  scene.begin();
  scene.fail(ErrorClass::internal);
  scene.sit_out_waits();
  CHECK(left() == 2);
  scene.loop.reset();
  CHECK(left() == 3);
}

TEST_CASE("refused by the budget, a fresh deployment whose time is named is still waited for") {
  Scene scene(with_fallback(2));
  scene.bench(1, ErrorClass::rate_limit, seconds(4));
  scene.begin();
  REQUIRE(scene.asked() == 0);
  while (scene.fleet.draw_retry(GroupIndex{0}, scene.now)) {
  }
  scene.fail(ErrorClass::internal);
  scene.sit_out_waits();
  REQUIRE(scene.calling());
  CHECK(scene.asked() == 1);
}

TEST_CASE("refused by the budget, the request goes on to the fallback") {
  Scene scene(with_fallback(1));
  scene.begin();
  while (scene.fleet.draw_retry(GroupIndex{0}, scene.now)) {
  }
  scene.fail(ErrorClass::internal);
  scene.sit_out_waits();
  REQUIRE(scene.calling());
  CHECK(scene.asked() == 1);
}

// --- what the client is told about coming back ---------------------------------------------------

TEST_CASE("retry_after is the soonest recovery of all groups that were asked") {
  Scene scene(with_fallback(2));
  scene.config.groups[1].fallbacks = {{GroupIndex{0}, {}}};
  scene.begin();
  scene.fail(ErrorClass::rate_limit, seconds(60));
  scene.fail(ErrorClass::rate_limit, seconds(40));
  scene.fail(ErrorClass::rate_limit, seconds(20));
  REQUIRE(scene.gave_up());
  REQUIRE(scene.end().retry_after);
  CHECK(*scene.end().retry_after >= seconds(20));
  CHECK(*scene.end().retry_after <= seconds(21));
  CHECK_FALSE(scene.end().should_not_retry);
}

TEST_CASE("where recovery is not known and we retried, the client need not") {
  Scene scene(group_of(2));
  scene.calls_if_all_fail(ErrorClass::timeout);
  CHECK_FALSE(scene.end().retry_after);
  CHECK(scene.end().should_not_retry);
}

TEST_CASE("where nothing was retried, the client may") {
  Scene scene(group_of(1));
  CHECK(scene.calls_if_all_fail(ErrorClass::timeout) == 1);
  CHECK_FALSE(scene.end().retry_after);
  CHECK_FALSE(scene.end().should_not_retry);
}

TEST_CASE("one deployment that may serve at any moment makes the recovery unknown") {
  Scene scene(group_of(2));
  scene.begin();
  scene.fail(ErrorClass::quota_exhausted);
  scene.fail(ErrorClass::timeout);
  REQUIRE(scene.gave_up());
  CHECK_FALSE(scene.end().retry_after);
  CHECK(scene.end().should_not_retry);
}

TEST_CASE("which statuses the SDKs retry by themselves") {
  for (const int status : {408, 409, 429, 500, 502, 503, 504}) CHECK(retried_by_clients(status));
  for (const int status : {400, 401, 403, 404, 413, 422, 499})
    CHECK_FALSE(retried_by_clients(status));
}

}  // namespace
}  // namespace spillway
