#include "core/health.hpp"

#include <catch2/catch_test_macros.hpp>

#include "health_patient.hpp"

namespace spillway {
namespace {

using testing::Patient;

TEST_CASE("where benching is withheld nothing benches, but failures are remembered") {
  Patient patient;
  patient.benching = Benching::withheld;
  CHECK(patient.fail(ErrorClass::rate_limit, seconds(30)) == HealthChange::none);
  CHECK(patient.fail(ErrorClass::authentication) == HealthChange::none);
  for (int i = 0; i < 10; ++i) CHECK(patient.fail(ErrorClass::internal) == HealthChange::none);
  CHECK(patient.callable());
  CHECK(patient.look().last_failure == patient.now);
  patient.benching = Benching::allowed;
  CHECK(patient.fail(ErrorClass::internal) == HealthChange::breaker_opened);
  patient.pass_bench();
  patient.benching = Benching::withheld;
  CHECK(patient.fail(ErrorClass::internal) == HealthChange::closed);
}

TEST_CASE("cooldown_time replaces the defaults and is not doubled; a hint wins over it") {
  Patient patient;
  patient.rules.cooldown_time = seconds(42);
  for (int i = 0; i < 3; ++i) {
    patient.fail(ErrorClass::rate_limit);
    CHECK(patient.benched_for(seconds(42)));
    patient.pass_bench();
  }
  patient.fail(ErrorClass::quota_exhausted);
  CHECK(patient.benched_for(seconds(42)));
  patient.pass_bench();
  patient.fail(ErrorClass::rate_limit, seconds(6));
  CHECK(patient.benched_for(seconds(6)));
}

TEST_CASE("cooldown_time is how long the breaker stays open too") {
  Patient patient;
  patient.rules.cooldown_time = seconds(42);
  for (int i = 0; i < 3; ++i) patient.fail(ErrorClass::internal);
  CHECK(patient.benched_for(seconds(42)));
  patient.pass_bench();
  patient.fail(ErrorClass::internal);
  CHECK(patient.benched_for(seconds(42)));
}

TEST_CASE("a cooldown_time of zero and disable_cooldowns never bench") {
  for (const bool disabled : {false, true}) {
    Patient patient;
    patient.rules.disabled = disabled;
    if (!disabled) patient.rules.cooldown_time = Duration::zero();
    CHECK(patient.fail(ErrorClass::rate_limit, seconds(30)) == HealthChange::none);
    CHECK(patient.fail(ErrorClass::quota_exhausted) == HealthChange::none);
    for (int i = 0; i < 10; ++i) CHECK(patient.fail(ErrorClass::internal) == HealthChange::none);
    CHECK(patient.callable());
  }
}

TEST_CASE("allowed_fails tolerates that many, by class, and replaces cooldown and breaker") {
  Patient patient;
  patient.rules.allowed_fails = 4;
  for (int i = 0; i < 4; ++i) CHECK(patient.fail(ErrorClass::internal) == HealthChange::none);
  for (int i = 0; i < 4; ++i) CHECK(patient.fail(ErrorClass::rate_limit) == HealthChange::none);
  CHECK(patient.fail(ErrorClass::internal) == HealthChange::cooled_down);
  CHECK(patient.benched_for(seconds(5)));
}

TEST_CASE("allowed_fails of zero benches with the first failure, for the hint if there is one") {
  Patient patient;
  patient.rules.allowed_fails = 0;
  CHECK(patient.fail(ErrorClass::connection) == HealthChange::cooled_down);
  Patient hinted;
  hinted.rules.allowed_fails = 0;
  CHECK(hinted.fail(ErrorClass::rate_limit, seconds(17)) == HealthChange::cooled_down);
  CHECK(hinted.benched_for(seconds(17)));
}

TEST_CASE("allowed_fails counts over a minute") {
  Patient patient;
  patient.rules.allowed_fails = 1;
  for (int i = 0; i < 5; ++i) {
    CHECK(patient.fail(ErrorClass::internal) == HealthChange::none);
    patient.pass(seconds(61));
  }
  CHECK(patient.fail(ErrorClass::internal) == HealthChange::none);
  patient.pass(seconds(50));
  CHECK(patient.fail(ErrorClass::internal) == HealthChange::cooled_down);
}

TEST_CASE("a policy entry of the class wins over allowed_fails") {
  Patient patient;
  patient.rules.allowed_fails = 0;
  patient.rules.allowed_fails_policy[static_cast<std::size_t>(ErrorClass::timeout)] = 2;
  CHECK(patient.fail(ErrorClass::timeout) == HealthChange::none);
  CHECK(patient.fail(ErrorClass::timeout) == HealthChange::none);
  CHECK(patient.fail(ErrorClass::timeout) == HealthChange::cooled_down);
}

TEST_CASE("the client's own mistakes use up an allowance only where a policy names them") {
  Patient patient;
  patient.rules.allowed_fails = 0;
  CHECK(patient.fail(ErrorClass::invalid_request) == HealthChange::none);
  patient.rules.allowed_fails_policy[static_cast<std::size_t>(ErrorClass::invalid_request)] = 0;
  CHECK(patient.fail(ErrorClass::invalid_request) == HealthChange::cooled_down);
}

TEST_CASE("a closed bench starts the allowance again") {
  Patient patient;
  patient.rules.allowed_fails = 1;
  patient.fail(ErrorClass::internal);
  CHECK(patient.fail(ErrorClass::internal) == HealthChange::cooled_down);
  patient.pass_bench();
  CHECK(patient.succeed() == HealthChange::closed);
  CHECK(patient.fail(ErrorClass::internal) == HealthChange::none);
}

TEST_CASE("an allowance does not excuse a probe") {
  Patient patient;
  patient.rules.allowed_fails = 2;
  for (int i = 0; i < 3; ++i) patient.fail(ErrorClass::internal);
  patient.pass_bench();
  CHECK(patient.fail(ErrorClass::internal) == HealthChange::cooled_down);
  CHECK(patient.benched_for(seconds(10)));
}

}  // namespace
}  // namespace spillway
