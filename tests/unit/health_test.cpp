#include "core/health.hpp"

#include <catch2/catch_test_macros.hpp>

#include "health_patient.hpp"

namespace spillway {
namespace {

using testing::failed_with;
using testing::Patient;

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
