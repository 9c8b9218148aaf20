#include "core/deployment_load.hpp"

#include <catch2/catch_test_macros.hpp>
#include <initializer_list>
#include <vector>

#include "core/live_deployment.hpp"
#include "decision_support.hpp"

namespace spillway {
namespace {

using testing::failed_with;
using testing::kStart;

constexpr Duration kHour = seconds(3600);

Load load_of(DeploymentLoad& load, TimePoint now, Delivery delivery = Delivery::streamed) {
  return load.load(delivery, {}, kHour, now);
}

TEST_CASE("what was never measured is not known") {
  DeploymentLoad load;
  CHECK_FALSE(load_of(load, kStart).peak);
  CHECK_FALSE(load_of(load, kStart).mean);
}

TEST_CASE("a slower time counts in full at once, and a quicker one only little by little") {
  DeploymentLoad load;
  load.note_answer(Delivery::streamed, milliseconds(100), kStart);
  load.note_answer(Delivery::streamed, milliseconds(900), kStart);
  CHECK(load_of(load, kStart).peak == milliseconds(900));
  load.note_answer(Delivery::streamed, milliseconds(100), kStart + seconds(1));
  const auto peak = load_of(load, kStart + seconds(1)).peak;
  CHECK(*peak > milliseconds(700));
  CHECK(*peak < milliseconds(900));
}

TEST_CASE("a peak fades while nothing is measured, so that the deployment is looked at again") {
  DeploymentLoad load;
  load.note_answer(Delivery::streamed, milliseconds(1000), kStart);
  CHECK(*load_of(load, kStart + bounds::kLoadMemory).peak < milliseconds(400));
}

TEST_CASE("streams and whole answers are timed apart") {
  DeploymentLoad load;
  load.note_answer(Delivery::whole, seconds(30), kStart);
  CHECK_FALSE(load_of(load, kStart, Delivery::streamed).peak);
  CHECK(load_of(load, kStart, Delivery::whole).mean == seconds(30));
}

TEST_CASE("the p95 is that of the latest times, once there are twenty") {
  DeploymentLoad load;
  for (int i = 1; i < 20; ++i) load.note_answer(Delivery::streamed, seconds(i), kStart);
  CHECK_FALSE(load.p95_time(Delivery::streamed));
  load.note_answer(Delivery::streamed, seconds(20), kStart);
  CHECK(load.p95_time(Delivery::streamed) == seconds(19));
  CHECK_FALSE(load.p95_time(Delivery::whole));
  for (int i = 0; i < 64; ++i) load.note_answer(Delivery::streamed, milliseconds(i), kStart);
  CHECK(load.p95_time(Delivery::streamed) == milliseconds(60));
}

TEST_CASE("the mean is that of the last ten times within the time to live") {
  DeploymentLoad load;
  load.note_answer(Delivery::streamed, seconds(100), kStart);
  for (int i = 0; i < 9; ++i) load.note_answer(Delivery::streamed, seconds(1), kStart + seconds(1));
  CHECK(load_of(load, kStart + seconds(1)).mean == milliseconds(10900));
  load.note_answer(Delivery::streamed, seconds(1), kStart + seconds(2));
  CHECK(load_of(load, kStart + seconds(2)).mean == seconds(1));
  CHECK_FALSE(load_of(load, kStart + seconds(2) + kHour).mean);
}

TEST_CASE("an upstream's own count of what is left is the headroom, and calls since use it up") {
  DeploymentLoad load;
  load.note_quotas({.requests = Quota{100, 50}, .tokens = Quota{1000, 900}}, kStart);
  CHECK(load_of(load, kStart).headroom == 0.5);
  for (int i = 0; i < 20; ++i) load.begin(0, {}, kStart);
  CHECK(load_of(load, kStart).headroom == 0.3);
  load.note_quotas({.requests = Quota{100, 90}, .tokens = Quota{1000, 200}}, kStart);
  CHECK(load_of(load, kStart).headroom == 0.2);
}

TEST_CASE("an upstream that says nothing more is taken to have filled up within a minute") {
  DeploymentLoad load;
  load.note_quotas({.requests = Quota{100, 0}, .tokens = {}}, kStart);
  load.note_quotas({}, kStart + seconds(1));
  CHECK(load_of(load, kStart).headroom == 0.0);
  CHECK(load_of(load, kStart + seconds(30)).headroom == 0.5);
  CHECK(load_of(load, kStart + seconds(60)).headroom == 1.0);
}

TEST_CASE("an upstream that named its reset is taken at its word until then") {
  DeploymentLoad load;
  load.note_quotas({.requests = Quota{100, 0, seconds(40)}, .tokens = {}}, kStart);
  CHECK(load_of(load, kStart + seconds(39)).headroom == 0.0);
  CHECK(load_of(load, kStart + seconds(40)).headroom == 1.0);
}

TEST_CASE("limits that are configured are headroom too") {
  DeploymentLoad load;
  load.begin(0, {}, kStart);
  load.note_tokens(60, {}, kStart);
  const CallLimits limits{.rpm = 2, .tpm = 100, .parallel = {}};
  CHECK(load.load(Delivery::whole, limits, kHour, kStart).headroom == 0.4);
}

// --- limits --------------------------------------------------------------------------------------

std::optional<Permit> begin(LiveDeployment& live, const CallLimits& limits, TimePoint now,
                            std::uint64_t tokens = 0,
                            DeploymentHealth::Force force = DeploymentHealth::Force::no) {
  return live.begin(DeploymentIndex{0}, limits, tokens, now, force);
}

TEST_CASE("rpm is the number of calls of a minute, and the rest is told when to come back") {
  LiveDeployment live;
  const CallLimits limits{.rpm = 3, .tpm = {}, .parallel = {}};
  for (int i = 0; i < 3; ++i) {
    const auto permit = begin(live, limits, kStart + seconds(i));
    REQUIRE(permit);
    live.end(*permit);
  }
  const TimePoint now = kStart + seconds(10);
  CHECK_FALSE(begin(live, limits, now));
  const Availability availability = live.availability(limits, now);
  CHECK_FALSE(availability.callable);
  CHECK(availability.state == HealthState::closed);
  CHECK(availability.limited_until == kStart + seconds(60));
  CHECK(begin(live, limits, kStart + seconds(60)));
}

TEST_CASE("not even the last resort exceeds a limit") {
  LiveDeployment live;
  const CallLimits limits{.rpm = 1, .tpm = {}, .parallel = {}};
  REQUIRE(begin(live, limits, kStart));
  CHECK_FALSE(begin(live, limits, kStart, 0, DeploymentHealth::Force::yes));
}

TEST_CASE("tpm counts what was used, and what is expected of calls in flight") {
  LiveDeployment live;
  const CallLimits limits{.rpm = {}, .tpm = 100, .parallel = {}};
  const auto first = begin(live, limits, kStart, 60);
  REQUIRE(first);
  const auto second = begin(live, limits, kStart, 60);
  REQUIRE(second);
  CHECK_FALSE(begin(live, limits, kStart, 60));
  CHECK(live.availability(limits, kStart).full);
  live.end(*first);
  live.end(*second);
  CHECK(live.availability(limits, kStart).callable);
  live.used_tokens(100, limits, kStart + seconds(5));
  CHECK_FALSE(begin(live, limits, kStart + seconds(5)));
  CHECK(live.availability(limits, kStart + seconds(5)).limited_until == kStart + seconds(65));
}

TEST_CASE("max_parallel_requests is the number of calls in flight") {
  LiveDeployment live;
  const CallLimits limits{.rpm = {}, .tpm = {}, .parallel = 2};
  const auto first = begin(live, limits, kStart);
  REQUIRE(begin(live, limits, kStart));
  CHECK_FALSE(begin(live, limits, kStart));
  CHECK(live.availability(limits, kStart).full);
  live.end(*first);
  CHECK(begin(live, limits, kStart));
}

TEST_CASE("only what begins is counted") {
  LiveDeployment live;
  const CallLimits limits{.rpm = 2, .tpm = {}, .parallel = {}};
  Random random(1);
  const auto permit = begin(live, limits, kStart);
  live.failed(*permit, failed_with(ErrorClass::rate_limit, seconds(5)), {}, Benching::allowed,
              random, kStart);
  live.end(*permit);
  CHECK_FALSE(begin(live, limits, kStart + seconds(1)));  // cooling
  CHECK(live.load(Delivery::whole, limits, kHour, kStart + seconds(1)).requests == 1);
}

TEST_CASE("rpm and tpm limit where LiteLLM's strategies do, or where they are enforced") {
  Config config = testing::group_of(1);
  config.deployments[0].rpm = 5;
  config.deployments[0].tpm = 7;
  config.deployments[0].max_parallel_requests = 3;
  const auto limited = [&](RoutingStrategy strategy) {
    config.router.strategy = strategy;
    const CallLimits limits = limits_of(config, DeploymentIndex{0});
    CHECK(limits.parallel == 3u);
    CHECK(limits.rpm.has_value() == limits.tpm.has_value());
    return limits.rpm.has_value();
  };
  CHECK_FALSE(limited(RoutingStrategy::simple_shuffle));
  CHECK_FALSE(limited(RoutingStrategy::least_busy));
  CHECK_FALSE(limited(RoutingStrategy::adaptive));
  CHECK(limited(RoutingStrategy::usage_based));
  CHECK(limited(RoutingStrategy::latency_based));
  CHECK(limited(RoutingStrategy::cost_based));
  config.router.enforce_model_rate_limits = true;
  CHECK(limited(RoutingStrategy::simple_shuffle));
  CHECK(limited(RoutingStrategy::adaptive));
}

Permit answered(LiveDeployment& live, TimePoint now) {
  const auto permit = begin(live, {}, now);
  live.first_token(*permit, Delivery::streamed, now);
  return *permit;
}

void fail(LiveDeployment& live, ErrorClass error_class, TimePoint now) {
  Random random(1);
  const auto permit = begin(live, {}, now);
  live.failed(*permit, failed_with(error_class), {}, Benching::allowed, random, now);
  live.end(*permit);
}

double error_rate(LiveDeployment& live, TimePoint now) {
  return live.load(Delivery::whole, {}, kHour, now).error_rate;
}

TEST_CASE("a failure weighs as much as all that was before it, and answers outweigh it again") {
  LiveDeployment live;
  for (int i = 0; i < 100; ++i) live.end(answered(live, kStart));
  CHECK(error_rate(live, kStart) == 0.0);
  fail(live, ErrorClass::internal, kStart);
  CHECK(error_rate(live, kStart) == 0.5);
  fail(live, ErrorClass::internal, kStart);
  CHECK(error_rate(live, kStart) == 0.75);
  live.end(answered(live, kStart));
  CHECK(error_rate(live, kStart) == 0.375);
  CHECK(error_rate(live, kStart + bounds::kLoadMemory) < 0.375 / 2);
}

TEST_CASE("the end of a stream that began before a failure does not make up for it") {
  LiveDeployment live;
  const Permit stream = answered(live, kStart);
  fail(live, ErrorClass::internal, kStart);
  live.succeeded(stream, kStart);
  CHECK(error_rate(live, kStart) == 0.5);
}

TEST_CASE("what is the request's own fault is not the deployment's error") {
  LiveDeployment live;
  fail(live, ErrorClass::invalid_request, kStart);
  CHECK(error_rate(live, kStart) == 0.0);
}

TEST_CASE("the success of a probe is noted as a recovery") {
  LiveDeployment live;
  fail(live, ErrorClass::rate_limit, kStart);
  CHECK_FALSE(live.load(Delivery::whole, {}, kHour, kStart).recovered_at);
  const TimePoint later = kStart + seconds(10);
  const auto probe = begin(live, {}, later);
  REQUIRE(probe->probe);
  CHECK(live.succeeded(*probe, later) == HealthChange::closed);
  CHECK(live.load(Delivery::whole, {}, kHour, later).recovered_at == later);
}

TEST_CASE("x-ratelimit headers are read where both limit and rest are told") {
  struct Row {
    std::vector<HeaderView> headers;
    Quotas expected;
  };
  const std::vector<Row> rows = {
      {{}, {}},
      {{{"X-RateLimit-Limit-Requests", "60"}, {"x-ratelimit-remaining-requests", "7"}},
       {.requests = Quota{60, 7}, .tokens = {}}},
      {{{"x-ratelimit-limit-tokens", "1000.0"}, {"x-ratelimit-remaining-tokens", "-3"}},
       {.requests = {}, .tokens = Quota{1000, 0}}},
      {{{"x-ratelimit-limit-requests", "60"},
        {"x-ratelimit-remaining-requests", "7"},
        {"x-ratelimit-reset-requests", "1m2s"}},
       {.requests = Quota{60, 7, seconds(62)}, .tokens = {}}},
      {{{"x-ratelimit-remaining-requests", "7"}}, {}},
      {{{"x-ratelimit-limit-requests", "0"}, {"x-ratelimit-remaining-requests", "0"}}, {}},
      {{{"x-ratelimit-limit-requests", "many"}, {"x-ratelimit-remaining-requests", "few"}}, {}},
  };
  for (const Row& row : rows) CHECK(read_quotas(row.headers, WallTime{}) == row.expected);
}

TEST_CASE("tokens set aside follow the body's size up to a bound") {
  CHECK(expected_tokens(400) == 100);
  CHECK(expected_tokens(100'000'000) == bounds::kReservedTokens);
}

}  // namespace
}  // namespace spillway
