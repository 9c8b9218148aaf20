// What a request does when a deployment's own limits stand in its way: rpm, tpm and
// max_parallel_requests.

#include "attempt_scene.hpp"

namespace spillway {
namespace {

using attempt::Completed;
using testing::group_of;
using testing::Scene;
using testing::with_fallback;

Config limited(Config config, std::uint64_t rpm) {
  config.router.enforce_model_rate_limits = true;
  for (const DeploymentIndex index : config.groups[0].deployments)
    config.deployments[index.value].rpm = rpm;
  return config;
}

Config narrow(Config config, unsigned parallel) {
  for (const DeploymentIndex index : config.groups[0].deployments)
    config.deployments[index.value].max_parallel_requests = parallel;
  return config;
}

void serve_one(Scene& scene) {
  scene.begin();
  REQUIRE(scene.calling());
  scene.report(Completed{});
}

TEST_CASE("a request over every limit is told the true time and calls nobody") {
  Scene scene(limited(group_of(2), 2));
  for (int i = 0; i < 4; ++i) {
    serve_one(scene);
    scene.now += seconds(5);
  }
  scene.begin();
  REQUIRE(scene.gave_up());
  CHECK(scene.end().failure.error_class == ErrorClass::rate_limit);
  CHECK(scene.end().failure.status == 429);
  CHECK(scene.end().retry_after == seconds(40));
  CHECK(scene.end().failure.message.find("retry in 40 seconds") != std::string::npos);
  CHECK_FALSE(scene.end().should_not_retry);
}

TEST_CASE("a limit that ends within max_wait is waited for where there is no fallback") {
  Scene scene(limited(group_of(1), 1));
  serve_one(scene);
  scene.now += seconds(56);
  scene.begin();
  REQUIRE(scene.waiting());
  CHECK(scene.sit_out_waits() == seconds(4));
  CHECK(scene.calling());
}

TEST_CASE("a limit sends a request on to the fallback at once") {
  Scene scene(limited(with_fallback(1), 1));
  serve_one(scene);
  scene.now += seconds(56);
  scene.begin();
  REQUIRE(scene.calling());
  CHECK(scene.asked() == 1);
}

TEST_CASE("a failed deployment at its limit is not asked again") {
  Scene scene(limited(group_of(1), 1));
  scene.begin();
  CHECK(scene.asked() == 0);
  scene.fail(ErrorClass::internal);
  scene.sit_out_waits();
  REQUIRE(scene.gave_up());
  CHECK(scene.end().failure.error_class == ErrorClass::internal);
}

TEST_CASE("a full deployment is waited for, and taken as soon as it has room") {
  Scene scene(narrow(group_of(1), 1));
  const auto held = scene.fleet.begin(DeploymentIndex{0}, scene.now, DeploymentHealth::Force::no);
  scene.begin();
  const TimePoint begun = scene.now;
  while (scene.waiting() && scene.now < begun + seconds(1)) {
    scene.now = std::get<attempt::Wait>(scene.action).until;
    scene.report(attempt::TimerFired{});
  }
  REQUIRE(scene.waiting());
  scene.fleet.end(*held);
  scene.now = std::get<attempt::Wait>(scene.action).until;
  scene.report(attempt::TimerFired{});
  CHECK(scene.calling());
  CHECK(scene.in_flight() == 1);
}

TEST_CASE("the wait for a full deployment is bounded and ends in a 429 without a call") {
  Scene scene(narrow(group_of(1), 1));
  REQUIRE(scene.fleet.begin(DeploymentIndex{0}, scene.now, DeploymentHealth::Force::no));
  scene.begin();
  const Duration waited = scene.sit_out_waits();
  CHECK(waited <= scene.config.router.max_wait);
  CHECK(waited > scene.config.router.max_wait - seconds(1));
  REQUIRE(scene.gave_up());
  CHECK(scene.end().failure.status == 429);
  CHECK_FALSE(scene.end().retry_after);
}

TEST_CASE("a full deployment's queue is waited out before the fallback is asked") {
  Scene scene(narrow(with_fallback(1), 1));
  REQUIRE(scene.fleet.begin(DeploymentIndex{0}, scene.now, DeploymentHealth::Force::no));
  scene.begin();
  CHECK(scene.waiting());
  scene.sit_out_waits();
  REQUIRE(scene.calling());
  CHECK(scene.asked() == 1);
}

TEST_CASE("a full deployment is passed over while another of its group has room") {
  Scene scene(narrow(group_of(2), 1));
  REQUIRE(scene.fleet.begin(DeploymentIndex{0}, scene.now, DeploymentHealth::Force::no));
  scene.begin();
  REQUIRE(scene.calling());
  CHECK(scene.asked() == 1);
}

TEST_CASE("a request measures how long its first token, or its answer, took") {
  Scene scene(group_of(1));
  const auto peak = [&](Delivery delivery) {
    return scene.fleet.load(DeploymentIndex{0}, delivery, scene.now).peak;
  };
  scene.begin({.streaming = true});
  scene.now += seconds(2);
  scene.report(attempt::ContentStarted{});
  CHECK(peak(Delivery::streamed) == seconds(2));
  scene.now += seconds(20);
  scene.report(Completed{});
  CHECK(*peak(Delivery::streamed) < seconds(2));
  CHECK_FALSE(peak(Delivery::whole));

  scene.begin();
  scene.now += seconds(7);
  scene.report(Completed{});
  CHECK(peak(Delivery::whole) == seconds(7));
}

TEST_CASE("a deadline that passed in vain is a measure, an error that came at once is none") {
  Scene scene(group_of(1));
  scene.begin({.streaming = true});
  scene.fail(ErrorClass::invalid_request);
  CHECK_FALSE(scene.fleet.load(DeploymentIndex{0}, Delivery::streamed, scene.now).peak);
  scene.begin({.streaming = true});
  scene.now += seconds(30);
  scene.fail(ErrorClass::timeout);
  CHECK(scene.fleet.load(DeploymentIndex{0}, Delivery::streamed, scene.now).peak == seconds(30));
}

TEST_CASE("the tokens expected of a call are set aside while it lasts") {
  Scene scene(group_of(1));
  const auto tokens = [&] {
    return scene.fleet.load(DeploymentIndex{0}, Delivery::whole, scene.now).tokens;
  };
  scene.begin({.tokens = 50});
  CHECK(tokens() == 50);
  scene.report(Completed{});
  CHECK(tokens() == 0);
}

}  // namespace
}  // namespace spillway
