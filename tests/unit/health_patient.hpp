// One deployment, its rules and a clock that the test moves: what the tests of health share.
#pragma once

#include <catch2/catch_test_macros.hpp>
#include <optional>

#include "core/health.hpp"
#include "decision_support.hpp"

namespace spillway::testing {

inline constexpr DeploymentIndex kDeployment{3};

struct Patient {
  DeploymentHealth health;
  CooldownRules rules;
  Benching benching = Benching::allowed;
  Random random{11};
  TimePoint now = kStart;

  Permit begin(DeploymentHealth::Force force = DeploymentHealth::Force::no) {
    const auto permit = health.begin(kDeployment, now, force);
    REQUIRE(permit);
    return *permit;
  }
  HealthChange fail(const Permit& permit, const Failure& failure) {
    return health.record_failure(permit, failure, rules, benching, random, now);
  }
  HealthChange fail(const Failure& failure) {
    const Permit permit = begin();
    const HealthChange change = fail(permit, failure);
    health.end();
    return change;
  }
  HealthChange fail(ErrorClass error_class, std::optional<Duration> hint = std::nullopt) {
    return fail(failed_with(error_class, hint));
  }
  HealthChange succeed() {
    const HealthChange change = health.record_success(begin(), now);
    health.end();
    return change;
  }
  Availability look() const { return health.availability(now); }
  bool callable() const { return look().callable; }
  Duration remaining() const { return look().until - now; }
  // Benched for `length` and at most the jitter more.
  bool benched_for(Duration length) const {
    return !callable() && remaining() >= length &&
           remaining() <= length + length * bounds::kCooldownJitter;
  }
  void pass(Duration time) { now += time; }
  void pass_bench() { now = look().until; }
};

}  // namespace spillway::testing
