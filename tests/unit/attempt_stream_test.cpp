#include "core/attempt_loop.hpp"

#include <catch2/catch_test_macros.hpp>

#include "attempt_scene.hpp"

namespace spillway {
namespace {

using testing::group_of;
using testing::kStart;
using testing::Scene;
using testing::with_fallback;

// --- streams, and clients that leave -------------------------------------------------------------

TEST_CASE("content proves health at once; a probe's bench is closed before the stream ends") {
  Scene scene(group_of(2));
  scene.config.deployments[0].order = 1;
  scene.bench(0, ErrorClass::rate_limit, seconds(1));
  scene.now += seconds(2);
  scene.begin({.streaming = true});
  CHECK(scene.asked() == 0);
  scene.report(attempt::HeadArrived{});
  CHECK(scene.fleet.availability(DeploymentIndex{0}, scene.now).probing);
  scene.report(attempt::ContentStarted{});
  CHECK(scene.fleet.availability(DeploymentIndex{0}, scene.now).state == HealthState::closed);
  CHECK(scene.in_flight() == 1);
  scene.report(attempt::Completed{});
  CHECK(scene.finished());
  CHECK(scene.loop->records()[0].change == HealthChange::closed);
  CHECK(scene.in_flight() == 0);
}

TEST_CASE("a failure before the first content is an ordinary one") {
  Scene scene(group_of(2));
  scene.begin({.streaming = true});
  const auto first = scene.asked();
  scene.report(attempt::HeadArrived{});
  scene.fail(ErrorClass::unavailable);
  REQUIRE(scene.calling());
  CHECK(scene.asked() != first);
}

TEST_CASE("a head that is out bounds the answer's form, not what is tried") {
  for (const bool head_sent : {false, true}) {
    Scene scene(group_of(2));
    for (Deployment& deployment : scene.config.deployments) deployment.num_retries = 0;
    scene.begin({.streaming = true});
    if (head_sent) scene.report(attempt::HeadSent{});
    scene.fail(ErrorClass::unavailable);
    REQUIRE(scene.calling());
    scene.fail(ErrorClass::unavailable);
    REQUIRE(scene.gave_up());
    CHECK(scene.end().committed ==
          (head_sent ? CommitPoint::head_sent : CommitPoint::nothing_sent));
  }
}

TEST_CASE("after the first content nothing else is tried, and the failure counts") {
  Scene scene(with_fallback(2));
  scene.begin({.streaming = true});
  const DeploymentIndex deployment = scene.call().deployment;
  scene.report(attempt::ContentStarted{});
  scene.fail(ErrorClass::rate_limit, seconds(2));
  REQUIRE(scene.gave_up());
  CHECK(scene.end().failure.error_class == ErrorClass::rate_limit);
  CHECK(scene.end().committed == CommitPoint::content_sent);
  CHECK(scene.loop->records()[0].error_class == ErrorClass::rate_limit);
  CHECK(scene.loop->records()[0].change == HealthChange::cooled_down);
  CHECK_FALSE(scene.fleet.availability(deployment, scene.now).callable);
  CHECK(scene.in_flight() == 0);
}

TEST_CASE("a deployment that cuts every stream midway opens its breaker") {
  Scene scene(with_fallback(1));
  for (unsigned i = 0; i < bounds::kBreakerConsecutive; ++i) {
    CHECK(scene.fleet.availability(DeploymentIndex{0}, scene.now).callable);
    scene.begin({.streaming = true});
    scene.report(attempt::ContentStarted{});
    scene.fail(ErrorClass::protocol);
    REQUIRE(scene.gave_up());
  }
  CHECK(scene.fleet.availability(DeploymentIndex{0}, scene.now).state == HealthState::breaker_open);
}

TEST_CASE("an unknown model behind a wildcard is the client's mistake and benches nobody") {
  for (const bool wildcard : {false, true}) {
    Scene scene(with_fallback(1));
    scene.config.groups[0].wildcard = wildcard;
    scene.begin();
    Failure failure;
    failure.error_class = ErrorClass::not_found;
    failure.concerns_deployment = true;
    scene.report(attempt::Failed{failure});
    CHECK(scene.fleet.availability(DeploymentIndex{0}, scene.now).callable == wildcard);
  }
}

TEST_CASE("a client that leaves gives back its permit and the probe, and harms nobody") {
  for (const bool reported : {false, true}) {
    Scene scene(group_of(2));
    scene.config.deployments[0].order = 1;
    scene.bench(0, ErrorClass::rate_limit, seconds(1));
    scene.now += seconds(2);
    scene.begin();
    CHECK(scene.in_flight() == 1);
    if (reported) {
      scene.fail(ErrorClass::client_closed);
      CHECK(scene.gave_up());
      CHECK(scene.end().failure.error_class == ErrorClass::client_closed);
    }
    scene.loop.reset();
    CHECK(scene.in_flight() == 0);
    const auto availability = scene.fleet.availability(DeploymentIndex{0}, scene.now);
    CHECK(availability.state == HealthState::half_open);
    CHECK(availability.callable);
  }
}

TEST_CASE("the record of a call that the client left tells nothing of the call before it") {
  Scene scene(group_of(2));
  scene.begin();
  scene.fail(ErrorClass::rate_limit);
  scene.fail(ErrorClass::client_closed);
  REQUIRE(scene.loop->records().size() == 2);
  CHECK(scene.loop->records()[0].change == HealthChange::cooled_down);
  CHECK(scene.loop->records()[1].change == HealthChange::none);
}

TEST_CASE("a client that leaves in mid-stream leaves the success standing") {
  Scene scene(group_of(1));
  scene.begin({.streaming = true});
  scene.report(attempt::ContentStarted{});
  scene.loop.reset();
  CHECK(scene.in_flight() == 0);
  CHECK(scene.fleet.availability(DeploymentIndex{0}, scene.now).last_failure == TimePoint{});
}

// --- races with other workers --------------------------------------------------------------------

// A fleet that refuses the first few permits, as if another worker had been quicker.
class ContestedFleet final : public Fleet {
 public:
  ContestedFleet(LocalFleet& fleet, unsigned refusals) : fleet_(fleet), refusals_(refusals) {}
  Availability availability(DeploymentIndex d, TimePoint now) override {
    return fleet_.availability(d, now);
  }
  std::optional<Permit> begin(DeploymentIndex d, TimePoint now, DeploymentHealth::Force force,
                              std::uint64_t tokens) override {
    if (refusals_ > 0) {
      --refusals_;
      return std::nullopt;
    }
    return fleet_.begin(d, now, force, tokens);
  }
  HealthChange succeeded(const Permit& p, TimePoint now) override {
    return fleet_.succeeded(p, now);
  }
  HealthChange failed(const Permit& p, const Failure& f, Benching b, TimePoint now) override {
    return fleet_.failed(p, f, b, now);
  }
  void give_back(const Permit& p) override { fleet_.give_back(p); }
  void end(const Permit& p) override { fleet_.end(p); }
  void count_request(GroupIndex g, TimePoint now) override { fleet_.count_request(g, now); }
  bool draw_retry(GroupIndex g, TimePoint now) override { return fleet_.draw_retry(g, now); }
  void give_back_retry(GroupIndex g) override { fleet_.give_back_retry(g); }
  Random& random() override { return fleet_.random(); }

 private:
  LocalFleet& fleet_;
  unsigned refusals_;
};

TEST_CASE("a place that another worker took is looked for elsewhere, then waited for") {
  const Config config = group_of(2);
  for (unsigned refusals = 0; refusals < 6; ++refusals) {
    LocalFleet local(config, 1);
    ContestedFleet fleet(local, refusals);
    TimePoint now = kStart;
    AttemptLoop loop(config, fleet, {GroupIndex{0}, {}}, {}, now);
    attempt::Action action = loop.next(attempt::Begin{}, now);
    unsigned waits = 0;
    while (const auto* wait = std::get_if<attempt::Wait>(&action)) {
      CHECK(wait->until == now + bounds::kProbePoll);
      now = wait->until;
      ++waits;
      action = loop.next(attempt::TimerFired{}, now);
    }
    CHECK(waits == refusals / 2);
    CHECK(std::holds_alternative<attempt::Call>(action));
  }
}

}  // namespace
}  // namespace spillway
