// One request at a time, answered by hand under a virtual clock: what the tests of the attempt loop
// share.
#pragma once

#include <catch2/catch_test_macros.hpp>
#include <memory>
#include <utility>
#include <variant>

#include "core/attempt_loop.hpp"
#include "decision_support.hpp"

namespace spillway::testing {

inline constexpr unsigned kEndless = 10000;  // calls or waits: far more than any rule allows

// One configuration, its fleet, a clock, and one request at a time that the test answers by hand.
struct Scene {
  explicit Scene(Config c) : config(std::move(c)), fleet(config, 5) {}

  Config config;
  LocalFleet fleet;
  TimePoint now = kStart;
  std::unique_ptr<AttemptLoop> loop;
  attempt::Action action = attempt::Continue{};

  void begin(RequestTraits traits = {}, ModelMatch model = {GroupIndex{0}, {}}) {
    loop = std::make_unique<AttemptLoop>(config, fleet, std::move(model), traits, now);
    action = loop->next(attempt::Begin{}, now);
  }
  void report(const attempt::Event& event) { action = loop->next(event, now); }
  void fail(const Failure& failure) { report(attempt::Failed{failure}); }
  void fail(ErrorClass error_class, std::optional<Duration> hint = std::nullopt) {
    fail(failed_with(error_class, hint));
  }
  // Waits as told, until the next call or the end.
  Duration sit_out_waits() {
    const TimePoint from = now;
    unsigned waits = 0;
    while (const auto* wait = std::get_if<attempt::Wait>(&action)) {
      if (++waits > kEndless) FAIL("the request waits without end");
      now = std::max(now, wait->until);
      report(attempt::TimerFired{});
    }
    return now - from;
  }
  // A whole request whose every call fails the same way; the number of calls.
  unsigned calls_if_all_fail(ErrorClass error_class, std::optional<Duration> hint = std::nullopt) {
    begin();
    unsigned calls = 0;
    for (sit_out_waits(); calling(); sit_out_waits()) {
      if (++calls > kEndless) FAIL("the request calls without end");
      fail(error_class, hint);
    }
    REQUIRE(gave_up());
    return calls;
  }

  // Puts the deployment into a state by an ordinary call of somebody else's.
  void bench(std::uint32_t deployment, ErrorClass error_class, std::optional<Duration> hint = {}) {
    const unsigned times = judged_by_breaker(error_class) && !hint ? 3 : 1;
    for (unsigned i = 0; i < times; ++i) {
      const auto permit =
          fleet.begin(DeploymentIndex{deployment}, now, DeploymentHealth::Force::no);
      REQUIRE(permit);
      fleet.failed(*permit, failed_with(error_class, hint), Benching::allowed, now);
      fleet.end(*permit);
    }
  }
  Permit probe(std::uint32_t deployment) {
    const auto permit = fleet.begin(DeploymentIndex{deployment}, now, DeploymentHealth::Force::no);
    REQUIRE(permit);
    REQUIRE(permit->probe);
    return *permit;
  }

  bool calling() const { return std::holds_alternative<attempt::Call>(action); }
  bool waiting() const { return std::holds_alternative<attempt::Wait>(action); }
  bool finished() const { return std::holds_alternative<attempt::Finish>(action); }
  bool gave_up() const { return std::holds_alternative<attempt::GiveUp>(action); }
  const attempt::Call& call() const { return std::get<attempt::Call>(action); }
  const attempt::GiveUp& end() const { return std::get<attempt::GiveUp>(action); }
  std::uint32_t asked() const { return call().deployment.value; }
  Duration wait_length() const { return std::get<attempt::Wait>(action).until - now; }
  unsigned in_flight() {
    unsigned sum = 0;
    for (std::uint32_t i = 0; i < config.deployments.size(); ++i) {
      sum += fleet.availability(DeploymentIndex{i}, now).in_flight;
    }
    return sum;
  }
};

// Group 0 of `own` deployments, and group 1 of one, its fallback.
inline Config with_fallback(unsigned own) {
  Config config = group_of(own);
  const GroupIndex fallback = add_group(config, "fallback");
  add_deployment(config, fallback);
  config.groups[0].fallbacks = {{fallback, {}}};
  return config;
}

}  // namespace spillway::testing
