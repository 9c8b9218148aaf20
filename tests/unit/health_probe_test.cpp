#include "core/health.hpp"

#include <catch2/catch_test_macros.hpp>
#include <vector>

#include "health_patient.hpp"

namespace spillway {
namespace {

using testing::failed_with;
using testing::kDeployment;
using testing::Patient;

TEST_CASE("after the bench exactly one request probes") {
  Patient patient;
  patient.fail(ErrorClass::rate_limit, seconds(6));
  patient.pass(seconds(6) - milliseconds(1));
  CHECK_FALSE(patient.health.begin(kDeployment, patient.now));
  patient.pass_bench();
  CHECK(patient.look().state == HealthState::half_open);
  const Permit probe = patient.begin();
  CHECK(probe.probe);
  CHECK(patient.look().probing);
  CHECK_FALSE(patient.callable());
  CHECK_FALSE(patient.health.begin(kDeployment, patient.now));
}

TEST_CASE("the success of a probe closes and resets") {
  Patient patient;
  patient.fail(ErrorClass::rate_limit);
  patient.pass_bench();
  patient.fail(ErrorClass::rate_limit);
  patient.pass_bench();
  CHECK(patient.succeed() == HealthChange::closed);
  CHECK(patient.look().state == HealthState::closed);
  CHECK_FALSE(patient.look().probing);
  patient.fail(ErrorClass::rate_limit);
  CHECK(patient.benched_for(seconds(5)));
  patient.pass_bench();
  patient.fail(ErrorClass::rate_limit);
  CHECK(patient.benched_for(seconds(10)));
}

TEST_CASE("after closing, the failures of before do not count") {
  Patient patient;
  for (int i = 0; i < 3; ++i) patient.fail(ErrorClass::internal);
  patient.pass_bench();
  CHECK(patient.succeed() == HealthChange::closed);
  CHECK(patient.fail(ErrorClass::internal) == HealthChange::none);
  CHECK(patient.fail(ErrorClass::internal) == HealthChange::none);
  CHECK(patient.fail(ErrorClass::internal) == HealthChange::breaker_opened);
}

TEST_CASE("each failed probe doubles a rate limit's default, to at most 300 seconds") {
  Patient patient;
  for (const int length : {5, 10, 20, 40, 80, 160, 300, 300}) {
    CHECK(patient.fail(ErrorClass::rate_limit) == HealthChange::cooled_down);
    CHECK(patient.benched_for(seconds(length)));
    patient.pass_bench();
  }
}

TEST_CASE("a hint wins over the doubled default") {
  Patient patient;
  patient.fail(ErrorClass::rate_limit);
  patient.pass_bench();
  patient.fail(ErrorClass::rate_limit, seconds(2));
  CHECK(patient.benched_for(seconds(2)));
  patient.pass_bench();
  patient.fail(ErrorClass::rate_limit);
  CHECK(patient.benched_for(seconds(20)));
}

TEST_CASE("each failed probe doubles the breaker's time, to at most 15 seconds") {
  Patient patient;
  patient.fail(ErrorClass::timeout);
  patient.fail(ErrorClass::timeout);
  for (const int length : {5, 10, 15, 15}) {
    CHECK(patient.fail(ErrorClass::timeout) == HealthChange::breaker_opened);
    CHECK(patient.benched_for(seconds(length)));
    patient.pass_bench();
  }
}

TEST_CASE("a probe that meets another trouble than the bench's is benched for its own") {
  Patient patient;
  patient.fail(ErrorClass::rate_limit);
  patient.pass_bench();
  CHECK(patient.fail(ErrorClass::connection) == HealthChange::breaker_opened);
  CHECK(patient.benched_for(seconds(10)));
  patient.pass_bench();
  CHECK(patient.fail(ErrorClass::authentication) == HealthChange::cooled_down);
  CHECK(patient.benched_for(seconds(60)));
}

TEST_CASE("a probe that ends in the client's own mistake shows the deployment alive") {
  for (const ErrorClass error_class :
       {ErrorClass::invalid_request, ErrorClass::context_window_exceeded,
        ErrorClass::content_policy_violation, ErrorClass::conflict, ErrorClass::unprocessable}) {
    Patient patient;
    patient.fail(ErrorClass::rate_limit);
    patient.pass_bench();
    CHECK(patient.fail(error_class) == HealthChange::closed);
    CHECK(patient.callable());
  }
}

TEST_CASE("a probe whose client left, or asked for too little time, is free again") {
  Patient patient;
  patient.fail(ErrorClass::rate_limit);
  patient.pass_bench();
  patient.health.give_back(patient.begin());
  CHECK(patient.callable());
  CHECK(patient.look().state == HealthState::half_open);
  CHECK(patient.fail(ErrorClass::client_closed) == HealthChange::none);
  CHECK(patient.callable());
  Failure impatient = failed_with(ErrorClass::timeout);
  impatient.client_deadline = true;
  CHECK(patient.fail(impatient) == HealthChange::none);
  CHECK(patient.callable());
  CHECK(patient.begin().probe);
}

TEST_CASE("fifty rate limits in flight are one bench") {
  Patient patient;
  std::vector<Permit> permits;
  for (int i = 0; i < 50; ++i) permits.push_back(patient.begin());
  unsigned benches = 0;
  for (const Permit& permit : permits) {
    benches +=
        patient.fail(permit, failed_with(ErrorClass::rate_limit)) == HealthChange::cooled_down;
    patient.pass(milliseconds(1));
  }
  CHECK(benches == 1);
  CHECK(patient.remaining() <= seconds(5) + milliseconds(250));
  patient.pass_bench();
  patient.fail(ErrorClass::rate_limit);
  CHECK(patient.benched_for(seconds(10)));
}

TEST_CASE("a later deadline replaces an earlier one, never the reverse") {
  Patient patient;
  const Permit first = patient.begin();
  const Permit second = patient.begin();
  const Permit third = patient.begin();
  patient.fail(first, failed_with(ErrorClass::rate_limit, seconds(10)));
  CHECK(patient.fail(second, failed_with(ErrorClass::rate_limit, seconds(2))) ==
        HealthChange::none);
  CHECK(patient.benched_for(seconds(10)));
  CHECK(patient.fail(third, failed_with(ErrorClass::rate_limit, seconds(30))) ==
        HealthChange::extended);
  CHECK(patient.benched_for(seconds(30)));
}

TEST_CASE("outcomes of attempts begun before a bench neither close nor double it") {
  Patient patient;
  const Permit success = patient.begin();
  std::vector<Permit> failures;
  for (int i = 0; i < 10; ++i) failures.push_back(patient.begin());
  patient.fail(ErrorClass::rate_limit, seconds(20));
  CHECK(patient.health.record_success(success, patient.now) == HealthChange::none);
  for (const Permit& permit : failures) {
    CHECK(patient.fail(permit, failed_with(ErrorClass::internal)) == HealthChange::none);
  }
  CHECK(patient.look().state == HealthState::cooling);
  CHECK(patient.benched_for(seconds(20)));
}

TEST_CASE("outcomes of attempts begun before a bench are old news once it is closed") {
  Patient patient;
  std::vector<Permit> old;
  for (int i = 0; i < 5; ++i) old.push_back(patient.begin());
  patient.fail(ErrorClass::rate_limit);
  patient.pass_bench();
  patient.succeed();
  for (int i = 0; i < 3; ++i) {
    CHECK(patient.fail(old[static_cast<std::size_t>(i)], failed_with(ErrorClass::internal)) ==
          HealthChange::none);
  }
  CHECK(patient.fail(old[3], failed_with(ErrorClass::rate_limit)) == HealthChange::none);
  CHECK(patient.callable());
  // What the upstream names is a time from now, however old the question.
  CHECK(patient.fail(old[4], failed_with(ErrorClass::rate_limit, seconds(9))) ==
        HealthChange::cooled_down);
}

TEST_CASE("an extension is not doubled by failed probes it knows nothing of") {
  Patient patient;
  const Permit old = patient.begin();
  patient.fail(ErrorClass::rate_limit);
  patient.pass_bench();
  patient.fail(ErrorClass::rate_limit);
  patient.pass(seconds(6));
  CHECK(patient.fail(old, failed_with(ErrorClass::rate_limit)) == HealthChange::extended);
  CHECK(patient.benched_for(seconds(5)));
}

TEST_CASE("a bench extended during a probe is not closed by that probe") {
  Patient patient;
  const Permit old = patient.begin();
  patient.fail(ErrorClass::rate_limit);
  patient.pass_bench();
  const Permit probe = patient.begin();
  CHECK(patient.fail(old, failed_with(ErrorClass::rate_limit, seconds(9))) ==
        HealthChange::extended);
  CHECK(patient.health.record_success(probe, patient.now) == HealthChange::none);
  CHECK(patient.benched_for(seconds(9)));
  patient.pass_bench();
  CHECK(patient.succeed() == HealthChange::closed);
}

TEST_CASE("a stream that fails after its first content does not free another's probe") {
  Patient patient;
  patient.fail(ErrorClass::rate_limit);
  patient.pass_bench();
  const Permit stream = patient.begin();
  CHECK(patient.health.record_success(stream, patient.now) == HealthChange::closed);
  patient.fail(ErrorClass::rate_limit, seconds(1));
  patient.pass_bench();
  const Permit probe = patient.begin();
  REQUIRE(probe.probe);
  patient.fail(stream, failed_with(ErrorClass::protocol));
  CHECK(patient.look().probing);
  CHECK_FALSE(patient.callable());
}

TEST_CASE("a last resort goes through an open breaker, and its success closes it") {
  Patient patient;
  for (int i = 0; i < 3; ++i) patient.fail(ErrorClass::internal);
  const Permit forced = patient.begin(DeploymentHealth::Force::yes);
  CHECK_FALSE(forced.probe);
  CHECK(patient.health.record_success(forced, patient.now) == HealthChange::closed);
}

TEST_CASE("a last resort that fails leaves the breaker as it is") {
  Patient patient;
  for (int i = 0; i < 3; ++i) patient.fail(ErrorClass::internal);
  const TimePoint until = patient.look().until;
  const Permit forced = patient.begin(DeploymentHealth::Force::yes);
  patient.pass(seconds(1));
  CHECK(patient.fail(forced, failed_with(ErrorClass::internal)) == HealthChange::none);
  CHECK(patient.look().until == until);
  const Permit again = patient.begin(DeploymentHealth::Force::yes);
  CHECK(patient.fail(again, failed_with(ErrorClass::rate_limit, seconds(60))) ==
        HealthChange::extended);
  CHECK(patient.look().state == HealthState::cooling);
  patient.pass_bench();
  patient.fail(ErrorClass::internal);
  CHECK(patient.benched_for(seconds(10)));  // one failed probe, not more
}

TEST_CASE("a forced call does not close a cooldown its upstream asked for") {
  Patient patient;
  patient.fail(ErrorClass::rate_limit, seconds(30));
  const Permit forced = patient.begin(DeploymentHealth::Force::yes);
  CHECK(patient.health.record_success(forced, patient.now) == HealthChange::none);
  CHECK(patient.benched_for(seconds(30)));
}

}  // namespace
}  // namespace spillway
