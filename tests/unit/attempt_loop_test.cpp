#include "core/attempt_loop.hpp"

#include <catch2/catch_test_macros.hpp>

#include "attempt_scene.hpp"

namespace spillway {
namespace {

using testing::failed_with;
using testing::group_of;
using testing::kStart;
using testing::Scene;
using testing::with_fallback;

constexpr ErrorClass kVerdicts[] = {ErrorClass::invalid_request, ErrorClass::conflict,
                                    ErrorClass::unprocessable, ErrorClass::content_policy_violation,
                                    ErrorClass::context_window_exceeded};
constexpr ErrorClass kMovesOn[] = {
    ErrorClass::rate_limit,        ErrorClass::quota_exhausted, ErrorClass::authentication,
    ErrorClass::permission_denied, ErrorClass::not_found,       ErrorClass::unavailable,
    ErrorClass::internal,          ErrorClass::bad_gateway,     ErrorClass::protocol,
    ErrorClass::timeout,           ErrorClass::connection};

// --- one call ------------------------------------------------------------------------------------

TEST_CASE("a request that succeeds is one call and one record") {
  Scene scene(group_of(1));
  scene.begin();
  REQUIRE(scene.calling());
  CHECK(scene.loop->attempts() == 1);
  CHECK(scene.in_flight() == 1);
  scene.report(attempt::HeadArrived{});
  CHECK(std::holds_alternative<attempt::Continue>(scene.action));
  scene.report(attempt::Completed{});
  CHECK(scene.finished());
  CHECK(scene.loop->attempts() == 1);
  CHECK(scene.loop->fallbacks() == 0);
  REQUIRE(scene.loop->records().size() == 1);
  CHECK_FALSE(scene.loop->records()[0].error_class);
  CHECK(scene.in_flight() == 0);
}

TEST_CASE("a request ends once: what is reported later changes nothing") {
  Scene scene(group_of(2));
  scene.begin();
  scene.report(attempt::Completed{});
  for (const attempt::Event& event :
       {attempt::Event(attempt::Completed{}), attempt::Event(attempt::TimerFired{}),
        attempt::Event(attempt::Begin{}), attempt::Event(attempt::StaleConnection{}),
        attempt::Event(attempt::ContentStarted{}),
        attempt::Event(attempt::Failed{failed_with(ErrorClass::internal)})}) {
    scene.report(event);
    CHECK(std::holds_alternative<attempt::Continue>(scene.action));
  }
  CHECK(scene.loop->records().size() == 1);
}

TEST_CASE("the upstream model carries what the wildcard captured") {
  Config config = group_of(1);
  config.deployments[0].model = "vendor/*";
  Scene scene(std::move(config));
  scene.begin({}, {GroupIndex{0}, {"llama-3"}});
  CHECK(scene.call().upstream_model == "vendor/llama-3");
}

TEST_CASE("deadlines: the deployment's, else the router's; stream_timeout for streams") {
  struct Row {
    std::optional<Duration> own, own_stream, router_stream;
    bool streaming;
    Duration expected;
  };
  const Row rows[] = {
      {{}, {}, {}, false, seconds(600)},
      {{}, {}, {}, true, seconds(600)},
      {seconds(9), {}, {}, false, seconds(9)},
      {seconds(9), {}, {}, true, seconds(9)},
      {seconds(9), seconds(3), seconds(4), false, seconds(9)},
      {seconds(9), seconds(3), seconds(4), true, seconds(3)},
      {seconds(9), {}, seconds(4), true, seconds(4)},
      {{}, {}, seconds(4), false, seconds(600)},
  };
  for (const Row& row : rows) {
    Config config = group_of(1);
    config.deployments[0].timeout = row.own;
    config.deployments[0].stream_timeout = row.own_stream;
    config.router.stream_timeout = row.router_stream;
    Scene scene(std::move(config));
    scene.begin({.streaming = row.streaming});
    CHECK(scene.call().deadline - scene.now == row.expected);
    CHECK_FALSE(scene.call().client_deadline);
  }
}

TEST_CASE("timeouts.total bounds every call and ends the trying") {
  Config config = group_of(3);  // one is left in the end
  config.timeouts.total = seconds(30);
  config.router.timeout = seconds(20);
  Scene scene(std::move(config));
  scene.begin();
  CHECK(scene.call().deadline == kStart + seconds(20));
  scene.now += seconds(20);
  scene.fail(ErrorClass::timeout);
  REQUIRE(scene.calling());
  CHECK(scene.call().deadline == kStart + seconds(30));
  scene.now += seconds(10);
  scene.fail(ErrorClass::internal);
  REQUIRE(scene.gave_up());
  CHECK(scene.end().failure.error_class == ErrorClass::timeout);
}

TEST_CASE("a wait that would outlast timeouts.total is not begun") {
  Config config = group_of(1);
  config.timeouts.total = seconds(2);
  Scene scene(std::move(config));
  scene.begin();
  scene.fail(ErrorClass::rate_limit, seconds(3));
  CHECK(scene.gave_up());
}

TEST_CASE("a stale pooled connection is called again on a new one, uncounted and uncharged") {
  Scene scene(group_of(2));
  scene.begin();
  const auto first = scene.call();
  CHECK(first.connection == attempt::Call::Connection::pooled);
  scene.report(attempt::StaleConnection{});
  REQUIRE(scene.calling());
  CHECK(scene.asked() == first.deployment.value);
  CHECK(scene.call().connection == attempt::Call::Connection::fresh);
  CHECK(scene.call().deadline == first.deadline);
  CHECK(scene.loop->attempts() == 1);
  CHECK(scene.in_flight() == 1);
  CHECK(scene.fleet.availability(first.deployment, scene.now).last_failure == TimePoint{});
}

TEST_CASE("a new connection cannot be stale: that is a connection failure") {
  Scene scene(group_of(2));
  scene.begin();
  const auto first = scene.asked();
  scene.report(attempt::StaleConnection{});
  scene.report(attempt::StaleConnection{});
  REQUIRE(scene.calling());
  CHECK(scene.asked() != first);
  CHECK(scene.loop->records()[0].error_class == ErrorClass::connection);
}

// --- another of the group ------------------------------------------------------------------------

TEST_CASE("a failure of the deployment moves on at once to another of the group") {
  for (const ErrorClass error_class : kMovesOn) {
    INFO(name(error_class));
    Scene scene(group_of(2));
    scene.begin();
    const auto first = scene.asked();
    scene.fail(error_class);
    REQUIRE(scene.calling());
    CHECK(scene.asked() != first);
    CHECK(scene.loop->records()[0].error_class == error_class);
    scene.report(attempt::Completed{});
    CHECK(scene.finished());
    CHECK(scene.loop->attempts() == 2);
  }
}

TEST_CASE("a verdict on the request is final") {
  for (const ErrorClass error_class : kVerdicts) {
    INFO(name(error_class));
    Scene scene(with_fallback(3));
    scene.config.groups[0].context_window_fallbacks.emplace();
    scene.begin();
    scene.fail(error_class, seconds(9));
    REQUIRE(scene.gave_up());
    CHECK(scene.end().failure.error_class == error_class);
    CHECK_FALSE(scene.end().retry_after);
    CHECK_FALSE(scene.end().should_not_retry);
    CHECK(scene.in_flight() == 0);
  }
}

TEST_CASE("a 403 or 404 that names nothing is asked elsewhere and benches nobody") {
  for (const ErrorClass error_class : {ErrorClass::permission_denied, ErrorClass::not_found}) {
    Scene scene(with_fallback(2));
    scene.begin();
    Failure failure = failed_with(error_class);
    failure.concerns_deployment = false;
    for (int asked = 0; asked < 3; ++asked) {
      REQUIRE(scene.calling());
      scene.fail(failure);
    }
    REQUIRE(scene.gave_up());
    CHECK(scene.end().failure.error_class == error_class);
    for (std::uint32_t i = 0; i < 3; ++i)
      CHECK(scene.fleet.availability(DeploymentIndex{i}, scene.now).callable);
  }
}

TEST_CASE("where clients name what only one provider has, a 404 that names nothing is final") {
  Scene scene(with_fallback(2));
  RequestTraits traits;
  traits.endpoint = Endpoint::responses;
  scene.begin(traits);
  Failure failure = failed_with(ErrorClass::not_found);
  failure.concerns_deployment = false;
  scene.fail(failure);
  CHECK(scene.gave_up());
}

TEST_CASE("an unknown model behind a wildcard is asked of the others, and benches nobody") {
  Scene scene(with_fallback(2));
  scene.config.groups[0].wildcard = true;
  scene.begin();
  scene.fail(ErrorClass::not_found);
  REQUIRE(scene.calling());
  scene.fail(ErrorClass::not_found);
  REQUIRE(scene.calling());
  CHECK(scene.asked() == 2);
  CHECK(scene.fleet.availability(DeploymentIndex{0}, scene.now).callable);
}

TEST_CASE("a hint that has proved too short is not taken at its word again") {
  Scene scene(group_of(1));
  scene.begin();
  scene.fail(ErrorClass::rate_limit, milliseconds(10));
  CHECK(scene.wait_length() == milliseconds(10));
  scene.sit_out_waits();
  scene.fail(ErrorClass::rate_limit, milliseconds(10));
  CHECK(scene.wait_length() == bounds::kBackoffBase);
}

TEST_CASE("a deadline of the client's own ends its request") {
  Scene scene(with_fallback(3));
  scene.begin();
  Failure failure = failed_with(ErrorClass::timeout);
  failure.client_deadline = true;
  scene.fail(failure);
  CHECK(scene.gave_up());
}

TEST_CASE("a verdict outranks the trouble met on the way to it") {
  Scene scene(group_of(2));
  scene.begin();
  scene.fail(ErrorClass::rate_limit);
  scene.fail(ErrorClass::invalid_request);
  REQUIRE(scene.gave_up());
  CHECK(scene.end().failure.error_class == ErrorClass::invalid_request);
}

TEST_CASE("fifty requests that meet the first rate limit together all move, budget or not") {
  Scene scene(group_of(2));
  scene.config.deployments[0].order = 1;
  std::vector<std::unique_ptr<AttemptLoop>> loops;
  for (int i = 0; i < 50; ++i) {
    scene.begin();
    CHECK(scene.asked() == 0);
    loops.push_back(std::move(scene.loop));
  }
  for (auto& loop : loops) {
    const auto action =
        loop->next(attempt::Failed{failed_with(ErrorClass::rate_limit, seconds(6))}, scene.now);
    REQUIRE(std::holds_alternative<attempt::Call>(action));
    CHECK(std::get<attempt::Call>(action).deployment.value == 1);
  }
}

TEST_CASE("a rate-limited deployment sees no call until its time is over, then one probe") {
  Scene scene(group_of(2));
  scene.config.deployments[0].order = 1;
  scene.begin();
  scene.fail(ErrorClass::rate_limit, seconds(6));
  scene.report(attempt::Completed{});
  for (int i = 0; i < 59; ++i) {
    scene.now += milliseconds(100);
    scene.begin();
    CHECK(scene.asked() == 1);
    scene.report(attempt::Completed{});
  }
  scene.now += seconds(1);
  scene.begin();
  CHECK(scene.asked() == 0);
  const auto probing = std::move(scene.loop);
  for (int i = 0; i < 20; ++i) {
    scene.begin();
    CHECK(scene.asked() == 1);
  }
  probing->next(attempt::Completed{}, scene.now);
  CHECK(probing->records()[0].change == HealthChange::closed);
  scene.begin();
  CHECK(scene.asked() == 0);
}

TEST_CASE("failover asks at most max_attempts deployments") {
  Scene scene(group_of(12));
  CHECK(scene.calls_if_all_fail(ErrorClass::timeout) == 8);
  Scene few(group_of(12));
  few.config.router.max_attempts = 3;
  CHECK(few.calls_if_all_fail(ErrorClass::timeout) == 3);
}

TEST_CASE("nobody is asked again while somebody is left, even when the attempts are used up") {
  Scene scene(group_of(12));
  CHECK(scene.calls_if_all_fail(ErrorClass::internal) == 8);
}

TEST_CASE("a large group that is down keeps the last attempt for its fallback") {
  Scene scene(with_fallback(12));
  scene.begin();
  for (int i = 0; i < 7; ++i) {
    REQUIRE(scene.asked() < 12);
    scene.fail(ErrorClass::timeout);
  }
  REQUIRE(scene.calling());
  CHECK(scene.asked() == 12);
}

TEST_CASE("without failover the first failure is final") {
  for (const ErrorClass error_class : kMovesOn) {
    Scene scene(with_fallback(2));
    scene.config.router.failover = false;
    scene.begin();
    scene.fail(error_class, milliseconds(10));
    REQUIRE(scene.gave_up());
    CHECK(scene.end().failure.error_class == error_class);
  }
}

TEST_CASE("without failover nothing is waited for either") {
  Scene scene(group_of(2));
  scene.config.router.failover = false;
  scene.bench(0, ErrorClass::rate_limit, seconds(1));
  scene.bench(1, ErrorClass::timeout);
  scene.begin();
  CHECK(scene.gave_up());
}

TEST_CASE("a deadline that passed says how slow a deployment is, and is no answer") {
  Scene scene(group_of(1));
  scene.begin();
  scene.now += seconds(20);
  scene.fail(ErrorClass::timeout);
  const Load load = scene.fleet.load(DeploymentIndex{0}, Delivery::whole, scene.now);
  CHECK(load.peak == seconds(20));
  CHECK(load.error_rate == 0.5);  // as after any first failure
}

}  // namespace
}  // namespace spillway
