// A stream that breaks after content was sent, and who is asked to go on with it.
#include <catch2/catch_test_macros.hpp>

#include "attempt_scene.hpp"
#include "core/attempt_loop.hpp"
#include "core/outcome.hpp"

namespace spillway {
namespace {

using testing::failed_with;
using testing::group_of;
using testing::Scene;
using testing::with_fallback;

// Up to the first content of a stream; who was asked for it.
std::uint32_t begin_stream(Scene& scene) {
  scene.begin({.streaming = true});
  const auto asked = scene.asked();
  CHECK(scene.call().resume == Resume::no);
  scene.report(attempt::HeadArrived{});
  scene.report(attempt::ContentStarted{});
  return asked;
}

void break_stream(Scene& scene, ErrorClass error_class = ErrorClass::protocol) {
  scene.report(attempt::Failed{failed_with(error_class), true});
}

TEST_CASE("a stream that breaks is continued by another deployment of the group") {
  Scene scene(group_of(2));
  const auto first = begin_stream(scene);
  break_stream(scene);
  REQUIRE(scene.calling());
  CHECK(scene.asked() != first);
  CHECK(scene.call().resume == Resume::afresh);
  scene.report(attempt::ContentStarted{});
  scene.report(attempt::Completed{});
  CHECK(scene.finished());
  REQUIRE(scene.loop->records().size() == 2);
  CHECK(scene.loop->records()[0].error_class == ErrorClass::protocol);
  CHECK_FALSE(scene.loop->records()[1].error_class);
  CHECK(scene.in_flight() == 0);
}

TEST_CASE("a stream that breaks after timeouts.total is over is given a whole call") {
  Scene scene(group_of(2));
  scene.config.timeouts.total = seconds(10);
  begin_stream(scene);
  scene.now += seconds(60);
  break_stream(scene);
  REQUIRE(scene.calling());
  CHECK(scene.call().deadline == scene.now + scene.config.router.timeout);
}

TEST_CASE("a deployment that can continue a prefix is asked to") {
  Scene scene(group_of(2));
  for (Deployment& deployment : scene.config.deployments) deployment.assistant_prefill = true;
  begin_stream(scene);
  break_stream(scene);
  CHECK(scene.call().resume == Resume::prefix);
}

TEST_CASE("only chat can continue a prefix") {
  Scene scene(group_of(2));
  for (Deployment& deployment : scene.config.deployments) deployment.assistant_prefill = true;
  scene.begin({.endpoint = Endpoint::completions, .streaming = true});
  scene.report(attempt::ContentStarted{});
  break_stream(scene);
  CHECK(scene.call().resume == Resume::afresh);
}

TEST_CASE("a deployment that rejects the prefix is asked afresh, once") {
  Scene scene(group_of(2));
  for (Deployment& deployment : scene.config.deployments) deployment.assistant_prefill = true;
  begin_stream(scene);
  break_stream(scene);
  const auto second = scene.asked();
  break_stream(scene, ErrorClass::invalid_request);
  REQUIRE(scene.calling());
  CHECK(scene.asked() == second);
  CHECK(scene.call().resume == Resume::afresh);
  break_stream(scene, ErrorClass::invalid_request);
  REQUIRE(scene.gave_up());
  CHECK(scene.end().failure.error_class == ErrorClass::protocol);
}

TEST_CASE("a deployment that may have begun anew is asked afresh, and not blamed") {
  Scene scene(group_of(2));
  for (Deployment& deployment : scene.config.deployments) deployment.assistant_prefill = true;
  begin_stream(scene);
  break_stream(scene);
  const DeploymentIndex second = scene.call().deployment;
  attempt::Failed doubtful{failed_with(ErrorClass::protocol), true};
  doubtful.failure.excused = true;
  doubtful.begun_anew = true;
  scene.report(doubtful);
  REQUIRE(scene.calling());
  CHECK(scene.call().deployment == second);
  CHECK(scene.call().resume == Resume::afresh);
  CHECK(scene.fleet.recent(second, scene.now).failures == 0);
}

TEST_CASE("a request that a prefix would not answer exactly is asked afresh") {
  for (const bool own_limit : {false, true}) {
    Scene scene(group_of(2));
    for (Deployment& deployment : scene.config.deployments) {
      deployment.assistant_prefill = true;
      if (own_limit) deployment.body.defaults = {{"max_tokens", "9"}};
    }
    begin_stream(scene);
    attempt::Failed broken{failed_with(ErrorClass::protocol), true};
    broken.by_prefix = own_limit;
    scene.report(broken);
    CHECK(scene.call().resume == Resume::afresh);
  }
}

TEST_CASE("others are left as long as one of the group or a fallback was not asked yet") {
  Scene scene(group_of(2));
  begin_stream(scene);
  CHECK(scene.loop->others_left());
  break_stream(scene);
  scene.report(attempt::ContentStarted{});
  CHECK_FALSE(scene.loop->others_left());

  Scene fallback(with_fallback(1));
  begin_stream(fallback);
  CHECK(fallback.loop->others_left());
  break_stream(fallback);
  fallback.report(attempt::ContentStarted{});
  CHECK_FALSE(fallback.loop->others_left());
}

TEST_CASE("whoever is benched now may be left to go on later") {
  Scene scene(group_of(2));
  scene.bench(1, ErrorClass::rate_limit, seconds(1));
  begin_stream(scene);
  CHECK(scene.loop->others_left());
}

TEST_CASE("nobody is left where recovery or failover is off, or the calls are used up") {
  for (const int reason : {0, 1, 2}) {
    CAPTURE(reason);
    Scene scene(group_of(2));
    if (reason == 0) scene.config.stream_recovery = false;
    if (reason == 1) scene.config.router.failover = false;
    if (reason == 2) scene.config.router.max_attempts = 1;
    begin_stream(scene);
    CHECK_FALSE(scene.loop->others_left());
  }
}

TEST_CASE("the fallbacks that a request brings or disables decide whether others are left") {
  const auto left = [](Scene scene, RequestOptions options) {
    scene.begin({.streaming = true, .options = std::move(options)});
    scene.report(attempt::ContentStarted{});
    return scene.loop->others_left();
  };
  Config config = with_fallback(1);
  RequestOptions none, brought;
  none.disable_fallbacks = true;
  brought.fallbacks = FallbackRules{{std::nullopt, config.groups[0].fallbacks}};
  CHECK_FALSE(left(Scene(config), none));
  config.groups[0].fallbacks.clear();
  CHECK_FALSE(left(Scene(config), {}));
  CHECK(left(Scene(config), brought));
}

TEST_CASE("the group comes first, then its fallback") {
  Scene scene(with_fallback(1));
  begin_stream(scene);
  break_stream(scene);
  REQUIRE(scene.calling());
  CHECK(scene.loop->fallbacks() == 1);
  CHECK(scene.call().resume == Resume::afresh);
}

TEST_CASE("what broke the stream is told, not what came of mending it") {
  Scene scene(group_of(3));
  begin_stream(scene);
  break_stream(scene, ErrorClass::timeout);
  break_stream(scene, ErrorClass::rate_limit);
  break_stream(scene, ErrorClass::internal);
  REQUIRE(scene.gave_up());
  CHECK(scene.end().failure.error_class == ErrorClass::timeout);
  CHECK(scene.end().committed == CommitPoint::content_sent);
  CHECK(scene.in_flight() == 0);
}

TEST_CASE("nobody is asked to go on where that cannot be exact, or is not wanted") {
  for (const int reason : {0, 1, 2, 3}) {
    CAPTURE(reason);
    Scene scene(group_of(2));
    if (reason == 1) scene.config.stream_recovery = false;
    if (reason == 2) scene.config.router.failover = false;
    begin_stream(scene);
    const bool exact = reason != 0;
    const auto error = reason == 3 ? ErrorClass::content_policy_violation : ErrorClass::protocol;
    scene.report(attempt::Failed{failed_with(error), exact});
    CHECK(scene.gave_up());
  }
}

TEST_CASE("an answer that diverges ends the request and counts against nobody") {
  Scene scene(group_of(3));
  begin_stream(scene);
  break_stream(scene);
  const DeploymentIndex second = scene.call().deployment;
  Failure failure = failed_with(ErrorClass::protocol);
  failure.excused = true;
  scene.report(attempt::Failed{failure, true});
  REQUIRE(scene.gave_up());
  CHECK(scene.fleet.recent(second, scene.now).failures == 0);
  CHECK(scene.in_flight() == 0);
}

TEST_CASE("a call that the gateway itself had no room for counts against nobody") {
  TransportFailure full;
  full.phase = TransportPhase::connect;
  full.cause = TransportCause::exhausted;
  const Failure failure = classify(full, {"provider", "id"}, {});
  CHECK(failure.error_class == ErrorClass::unavailable);
  CHECK(failure.status == 503);
  Scene scene(group_of(2));
  for (int i = 0; i < 5; ++i) {
    scene.begin();
    while (scene.calling()) {
      scene.fail(failure);
      scene.sit_out_waits();
    }
  }
  for (const std::uint32_t i : {0U, 1U})
    CHECK(scene.fleet.availability(DeploymentIndex{i}, scene.now).state == HealthState::closed);
}

TEST_CASE("a probe that continues a stream closes its bench with its first new word") {
  Scene scene(group_of(2));
  scene.config.deployments[0].order = 1;
  scene.bench(1, ErrorClass::rate_limit, seconds(1));
  scene.now += seconds(2);
  REQUIRE(begin_stream(scene) == 0);
  break_stream(scene);
  REQUIRE(scene.asked() == 1);
  scene.report(attempt::ContentStarted{});
  CHECK(scene.fleet.availability(DeploymentIndex{1}, scene.now).state == HealthState::closed);
}

TEST_CASE("the deployments asked to go on are as bounded as any others") {
  Scene scene(group_of(12));
  begin_stream(scene);
  unsigned calls = 1;
  for (break_stream(scene); scene.calling() && calls < 20; ++calls) break_stream(scene);
  CHECK(scene.gave_up());
  CHECK(calls == scene.config.router.max_attempts);
}

}  // namespace
}  // namespace spillway
