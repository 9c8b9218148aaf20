#include "core/health.hpp"

#include <catch2/catch_test_macros.hpp>

#include "decision_support.hpp"

namespace spillway {
namespace {

using testing::failed_with;
using testing::kStart;

constexpr DeploymentIndex kDeployment{3};

// One deployment, its rules and a clock that the test moves.
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

TEST_CASE("a new deployment is closed and callable") {
  Patient patient;
  CHECK(patient.look().state == HealthState::closed);
  CHECK(patient.callable());
}

TEST_CASE("what a single failure does, by class") {
  struct Row {
    ErrorClass error_class;
    std::optional<Duration> hint;
    HealthChange change;
    Duration length;
    bool named;
  };
  const auto none = HealthChange::none;
  const auto cooled = HealthChange::cooled_down;
  const Row rows[] = {
      {ErrorClass::invalid_request, {}, none, {}, false},
      {ErrorClass::invalid_request, seconds(9), none, {}, false},
      {ErrorClass::conflict, {}, none, {}, false},
      {ErrorClass::unprocessable, {}, none, {}, false},
      {ErrorClass::content_policy_violation, {}, none, {}, false},
      {ErrorClass::context_window_exceeded, {}, none, {}, false},
      {ErrorClass::client_closed, {}, none, {}, false},
      {ErrorClass::rate_limit, {}, cooled, seconds(5), false},
      {ErrorClass::rate_limit, milliseconds(350), cooled, milliseconds(350), true},
      {ErrorClass::rate_limit, seconds(300), cooled, seconds(300), true},
      {ErrorClass::quota_exhausted, {}, cooled, minutes(10), false},
      {ErrorClass::quota_exhausted, seconds(30), cooled, seconds(30), true},
      {ErrorClass::authentication, {}, cooled, seconds(60), false},
      {ErrorClass::permission_denied, {}, cooled, seconds(60), false},
      {ErrorClass::not_found, {}, cooled, seconds(60), false},
      {ErrorClass::unavailable, {}, none, {}, false},
      {ErrorClass::unavailable, seconds(7), cooled, seconds(7), true},
      {ErrorClass::internal, {}, none, {}, false},
      {ErrorClass::internal, seconds(7), cooled, seconds(7), true},
      {ErrorClass::bad_gateway, seconds(7), cooled, seconds(7), true},
      {ErrorClass::protocol, {}, none, {}, false},
      {ErrorClass::timeout, {}, none, {}, false},
      {ErrorClass::connection, {}, none, {}, false},
  };
  for (const Row& row : rows) {
    INFO(name(row.error_class) << " hint " << row.hint.has_value());
    Patient patient;
    CHECK(patient.fail(row.error_class, row.hint) == row.change);
    CHECK(patient.callable() == (row.change == none));
    if (row.change == none) continue;
    CHECK(patient.benched_for(row.length));
    CHECK(patient.look().state == HealthState::cooling);
    CHECK(patient.look().named_by_upstream == row.named);
    CHECK(patient.look().cause == row.error_class);
    CHECK(patient.look().last_failure == patient.now);
  }
}

TEST_CASE("a 403 or 404 that concerns the client's own things benches nobody") {
  for (const ErrorClass error_class : {ErrorClass::permission_denied, ErrorClass::not_found}) {
    Patient patient;
    Failure failure = failed_with(error_class);
    failure.concerns_deployment = false;
    for (int i = 0; i < 10; ++i) CHECK(patient.fail(failure) == HealthChange::none);
    CHECK_FALSE(counts_against_deployment(failure));
    failure.concerns_deployment = true;
    CHECK(counts_against_deployment(failure));
  }
}

TEST_CASE("what counts against a deployment") {
  for (const ErrorClass yes : {ErrorClass::authentication, ErrorClass::unavailable,
                               ErrorClass::internal, ErrorClass::bad_gateway, ErrorClass::protocol,
                               ErrorClass::timeout, ErrorClass::connection}) {
    CHECK(counts_against_deployment(failed_with(yes)));
  }
  for (const ErrorClass no :
       {ErrorClass::invalid_request, ErrorClass::conflict, ErrorClass::unprocessable,
        ErrorClass::content_policy_violation, ErrorClass::context_window_exceeded,
        ErrorClass::rate_limit, ErrorClass::quota_exhausted, ErrorClass::client_closed}) {
    CHECK_FALSE(counts_against_deployment(failed_with(no)));
  }
  Failure impatient = failed_with(ErrorClass::timeout);
  impatient.client_deadline = true;
  CHECK_FALSE(counts_against_deployment(impatient));
}

TEST_CASE("three consecutive failures open the breaker, whatever mix of its classes") {
  Patient patient;
  CHECK(patient.fail(ErrorClass::connection) == HealthChange::none);
  CHECK(patient.fail(ErrorClass::timeout) == HealthChange::none);
  CHECK(patient.fail(ErrorClass::internal) == HealthChange::breaker_opened);
  CHECK(patient.look().state == HealthState::breaker_open);
  CHECK(patient.benched_for(seconds(5)));
  CHECK_FALSE(patient.look().named_by_upstream);
}

TEST_CASE("a success in between starts the count of consecutive failures again") {
  Patient patient;
  for (int i = 0; i < 4; ++i) patient.succeed();
  for (int round = 0; round < 4; ++round) {
    CHECK(patient.fail(ErrorClass::connection) == HealthChange::none);
    CHECK(patient.fail(ErrorClass::connection) == HealthChange::none);
    for (int i = 0; i < 3; ++i) patient.succeed();
  }
}

TEST_CASE("the client's own mistakes neither open the breaker nor keep it shut") {
  Patient patient;
  patient.fail(ErrorClass::internal);
  patient.fail(ErrorClass::internal);
  for (int i = 0; i < 20; ++i) patient.fail(ErrorClass::invalid_request);
  CHECK(patient.fail(ErrorClass::internal) == HealthChange::breaker_opened);
}

TEST_CASE("more than half of at least five requests in a minute opens the breaker") {
  Patient patient;
  patient.succeed();
  patient.fail(ErrorClass::internal);
  patient.succeed();
  CHECK(patient.fail(ErrorClass::internal) == HealthChange::none);            // 2 of 4
  CHECK(patient.fail(ErrorClass::internal) == HealthChange::breaker_opened);  // 3 of 5
}

TEST_CASE("exactly half does not open the breaker") {
  Patient patient;
  for (int i = 0; i < 10; ++i) {
    patient.succeed();
    CHECK(patient.fail(ErrorClass::internal) == HealthChange::none);
  }
}

TEST_CASE("the ratio forgets what is older than a minute, also across a boundary") {
  Patient patient;
  patient.pass(seconds(58));  // would be at the end of a fixed minute
  patient.fail(ErrorClass::internal);
  patient.fail(ErrorClass::internal);
  patient.succeed();
  patient.pass(seconds(4));
  patient.succeed();
  CHECK(patient.fail(ErrorClass::internal) == HealthChange::breaker_opened);

  Patient other;
  other.fail(ErrorClass::internal);
  other.fail(ErrorClass::internal);
  other.succeed();
  other.pass(seconds(61));
  other.succeed();
  CHECK(other.fail(ErrorClass::internal) == HealthChange::none);
  CHECK(other.fail(ErrorClass::internal) == HealthChange::none);
}

TEST_CASE("rate limits are no failures to the breaker") {
  Patient patient;
  patient.rules.allowed_fails_policy[static_cast<std::size_t>(ErrorClass::rate_limit)] = 100;
  for (int i = 0; i < 20; ++i) CHECK(patient.fail(ErrorClass::rate_limit) == HealthChange::none);
  CHECK(patient.fail(ErrorClass::internal) == HealthChange::none);
}

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

TEST_CASE("an allowance does not excuse a probe") {
  Patient patient;
  patient.rules.allowed_fails = 2;
  for (int i = 0; i < 3; ++i) patient.fail(ErrorClass::internal);
  patient.pass_bench();
  CHECK(patient.fail(ErrorClass::internal) == HealthChange::cooled_down);
  CHECK(patient.benched_for(seconds(10)));
}

TEST_CASE("calls are in flight from begin to end, not only until their outcome is known") {
  Patient patient;
  const Permit permit = patient.begin();
  patient.begin();
  CHECK(patient.look().in_flight == 2);
  patient.health.record_success(permit, patient.now);
  CHECK(patient.look().in_flight == 2);
  patient.health.end();
  patient.health.end();
  patient.health.end();
  CHECK(patient.look().in_flight == 0);
}

TEST_CASE("the jitter differs from bench to bench") {
  Patient one;
  Patient other;
  other.random.seed(12);
  one.fail(ErrorClass::rate_limit, seconds(100));
  other.fail(ErrorClass::rate_limit, seconds(100));
  CHECK(one.remaining() != other.remaining());
}

TEST_CASE("health states have names") {
  CHECK(name(HealthState::closed) == "closed");
  CHECK(name(HealthState::cooling) == "cooling");
  CHECK(name(HealthState::breaker_open) == "breaker_open");
  CHECK(name(HealthState::half_open) == "half_open");
}

}  // namespace
}  // namespace spillway
