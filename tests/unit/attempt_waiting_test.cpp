#include "core/attempt_loop.hpp"

#include <catch2/catch_test_macros.hpp>
#include <string>
#include <utility>

#include "attempt_scene.hpp"

namespace spillway {
namespace {

using testing::group_of;
using testing::Scene;
using testing::with_fallback;

// --- waiting -------------------------------------------------------------------------------------

TEST_CASE("a time the upstream named is waited for before falling back") {
  Scene scene(with_fallback(2));
  scene.bench(0, ErrorClass::rate_limit, seconds(3));
  scene.bench(1, ErrorClass::rate_limit, seconds(60));
  scene.begin();
  REQUIRE(scene.waiting());
  CHECK(scene.sit_out_waits() >= seconds(3));
  REQUIRE(scene.calling());
  CHECK(scene.asked() == 0);
}

TEST_CASE(
    "a named time of exactly max_wait is waited for, whatever the jitter; a longer one is not") {
  Scene scene(with_fallback(1));
  scene.bench(0, ErrorClass::rate_limit, seconds(5));
  scene.begin();
  CHECK(scene.waiting());
  Scene longer(with_fallback(1));
  longer.bench(0, ErrorClass::rate_limit, milliseconds(5300));
  longer.begin();
  REQUIRE(longer.calling());
  CHECK(longer.asked() == 1);
}

TEST_CASE("a defaulted cooldown is not waited for when there is a fallback") {
  Scene scene(with_fallback(1));
  scene.bench(0, ErrorClass::rate_limit);
  scene.now += seconds(3);
  scene.begin();
  REQUIRE(scene.calling());
  CHECK(scene.asked() == 1);
}

TEST_CASE("a defaulted cooldown within max_wait is waited for when there is none") {
  Scene scene(group_of(2));
  scene.bench(0, ErrorClass::rate_limit);
  scene.bench(1, ErrorClass::rate_limit);
  scene.now += seconds(3);
  scene.begin();
  REQUIRE(scene.waiting());
  scene.sit_out_waits();
  CHECK(scene.calling());
}

TEST_CASE("those with nowhere else to go wait for the probe, and follow when it succeeds") {
  Scene scene(group_of(2));
  scene.bench(0, ErrorClass::rate_limit, seconds(1));
  scene.bench(1, ErrorClass::rate_limit, seconds(300));
  scene.now += seconds(2);
  const Permit probe = scene.probe(0);
  scene.begin();
  for (int i = 0; i < 7; ++i) {
    REQUIRE(scene.waiting());
    CHECK(scene.wait_length() == bounds::kProbePoll);
    scene.now += bounds::kProbePoll;
    scene.report(attempt::TimerFired{});
  }
  scene.fleet.succeeded(probe, scene.now);
  scene.sit_out_waits();
  REQUIRE(scene.calling());
  CHECK(scene.asked() == 0);
}

TEST_CASE("a request that met the last default cooldown itself waits for it, whatever the jitter") {
  for (int i = 0; i < 20; ++i) {
    Scene scene(group_of(2));
    scene.begin();
    scene.fail(ErrorClass::rate_limit);
    scene.now += milliseconds(120);
    scene.fail(ErrorClass::rate_limit);
    REQUIRE(scene.waiting());
    scene.sit_out_waits();
    CHECK(scene.calling());
  }
}

TEST_CASE("waiting for a probe is bounded by max_wait") {
  Scene scene(group_of(2));
  scene.bench(0, ErrorClass::rate_limit, seconds(1));
  scene.bench(1, ErrorClass::rate_limit, seconds(300));
  scene.now += seconds(2);
  scene.probe(0);
  scene.begin();
  CHECK(scene.sit_out_waits() == seconds(5));
  REQUIRE(scene.gave_up());
  CHECK(scene.end().failure.status == 429);
}

TEST_CASE("those with somewhere else to go do not wait for a probe") {
  Scene scene(with_fallback(1));
  scene.bench(0, ErrorClass::rate_limit, seconds(1));
  scene.now += seconds(2);
  scene.probe(0);
  scene.begin();
  REQUIRE(scene.calling());
  CHECK(scene.asked() == 1);
}

// --- all cooling ---------------------------------------------------------------------------------

TEST_CASE("all cooling and nothing to fall back to: 429 with the true remaining seconds, no call") {
  Scene scene(group_of(2));
  scene.bench(0, ErrorClass::rate_limit, seconds(60));
  scene.bench(1, ErrorClass::rate_limit, seconds(30));
  scene.now += seconds(20);
  const TimePoint until = scene.fleet.availability(DeploymentIndex{1}, scene.now).until;
  scene.begin();
  REQUIRE(scene.gave_up());
  const Failure& failure = scene.end().failure;
  CHECK(failure.error_class == ErrorClass::rate_limit);
  CHECK(failure.status == 429);
  CHECK(failure.type == "rate_limit_error");
  CHECK(scene.end().retry_after == until - scene.now);
  const auto whole = std::chrono::ceil<seconds>(until - scene.now).count();
  CHECK(failure.message == "All deployments of model 'model' are cooling down; retry in " +
                               std::to_string(whole) + " seconds.");
  CHECK_FALSE(scene.end().should_not_retry);
  CHECK(scene.loop->attempts() == 0);
}

TEST_CASE("all cooling, but not for rate limits: 503") {
  Scene scene(group_of(2));
  scene.bench(0, ErrorClass::authentication);
  scene.bench(1, ErrorClass::unavailable, seconds(30));
  scene.begin();
  REQUIRE(scene.gave_up());
  CHECK(scene.end().failure.error_class == ErrorClass::unavailable);
  CHECK(scene.end().failure.status == 503);
  CHECK(scene.end().retry_after >= seconds(30));
}

TEST_CASE("a wildcard model is named as the client asked for it") {
  Config config = group_of(2);
  config.groups[0].name = "groq/*";
  Scene scene(std::move(config));
  scene.bench(0, ErrorClass::rate_limit, seconds(60));
  scene.bench(1, ErrorClass::rate_limit, seconds(60));
  scene.begin({}, {GroupIndex{0}, {"llama"}});
  CHECK(scene.end().failure.message.starts_with("All deployments of model 'groq/llama' are"));
}

TEST_CASE("the first group's refusal is returned although a fallback failed otherwise") {
  Scene scene(with_fallback(1));
  scene.bench(0, ErrorClass::rate_limit, seconds(60));
  scene.begin();
  CHECK(scene.asked() == 1);
  scene.fail(ErrorClass::timeout);
  REQUIRE(scene.gave_up());
  CHECK(scene.end().failure.status == 429);
  CHECK(scene.end().retry_after >= seconds(60));
}

TEST_CASE("a group whose deployments are all left out says why") {
  Config config = group_of(1);
  config.deployments[0].unusable = "GROQ_API_KEY is not set";
  config.groups[0].left_out = std::exchange(config.groups[0].deployments, {});
  Scene scene(std::move(config));
  scene.begin();
  REQUIRE(scene.gave_up());
  CHECK(scene.end().failure.status == 503);
  CHECK(scene.end().failure.message ==
        "No deployment of model 'model' can be used: GROQ_API_KEY is not set.");
}

TEST_CASE("a model that does not offer the endpoint is not found there") {
  Config config = group_of(1);
  config.deployments[0].targets[static_cast<std::size_t>(Endpoint::embeddings)].clear();
  Scene scene(std::move(config));
  scene.begin({.endpoint = Endpoint::embeddings});
  REQUIRE(scene.gave_up());
  CHECK(scene.end().failure.status == 404);
  CHECK(scene.end().failure.message == "Model 'model' does not offer /v1/embeddings.");
}

// --- the last resort -----------------------------------------------------------------------------

TEST_CASE("with nothing left but open breakers the least recently failed is tried, once") {
  Scene scene(group_of(3));
  scene.bench(1, ErrorClass::internal);
  scene.now += milliseconds(10);
  scene.bench(0, ErrorClass::internal);
  scene.now += milliseconds(10);
  scene.bench(2, ErrorClass::internal);
  scene.begin();
  REQUIRE(scene.calling());
  CHECK(scene.asked() == 1);
  scene.fail(ErrorClass::timeout);
  CHECK_FALSE(scene.calling());
  scene.sit_out_waits();
  CHECK(scene.loop->records().size() <= 2);
}

TEST_CASE("the success of the last resort closes the breaker for everybody") {
  Scene scene(group_of(2));
  scene.bench(0, ErrorClass::internal);
  scene.bench(1, ErrorClass::internal);
  scene.begin();
  scene.report(attempt::Completed{});
  CHECK(scene.finished());
  CHECK(scene.loop->records()[0].change == HealthChange::closed);
}

TEST_CASE("the last resort draws on the retry budget; refused, the breaker is waited for") {
  Config config = group_of(2);
  config.router.max_wait = milliseconds(4500);
  Scene scene(std::move(config));
  scene.bench(0, ErrorClass::internal);
  scene.bench(1, ErrorClass::internal);
  while (scene.fleet.draw_retry(GroupIndex{0}, scene.now)) {
  }
  scene.begin();
  REQUIRE(scene.gave_up());
  CHECK(scene.end().failure.status == 503);
  scene.now += seconds(1);
  scene.begin();
  REQUIRE(scene.waiting());
  scene.sit_out_waits();
  CHECK(scene.calling());
}

TEST_CASE("a cooling deployment is never a last resort, nor anybody where there is a fallback") {
  Scene cooling(group_of(2));
  cooling.bench(0, ErrorClass::rate_limit, seconds(60));
  cooling.bench(1, ErrorClass::authentication);
  cooling.begin();
  CHECK(cooling.gave_up());

  Scene scene(with_fallback(2));
  scene.bench(0, ErrorClass::internal);
  scene.bench(1, ErrorClass::internal);
  scene.begin();
  REQUIRE(scene.calling());
  CHECK(scene.asked() == 2);
}

TEST_CASE(
    "while a slow probe of a broken deployment keeps everybody waiting, the last resort goes") {
  Scene scene(group_of(2));
  scene.bench(0, ErrorClass::internal);
  scene.bench(1, ErrorClass::rate_limit, seconds(300));
  scene.now += seconds(6);
  scene.probe(0);
  scene.begin();
  CHECK(scene.sit_out_waits() == seconds(5));
  REQUIRE(scene.calling());
  CHECK(scene.asked() == 0);
}

}  // namespace
}  // namespace spillway
