#include "core/shared_bench.hpp"

#include <catch2/catch_test_macros.hpp>

#include "health_patient.hpp"

namespace spillway {
namespace {

using testing::Patient;

constexpr std::uint64_t kOther = 0x5ca1ab1e00000007;

Bench bench_of(Duration remaining, std::uint64_t number = 1) {
  return {.id = {kOther, number},
          .state = HealthState::cooling,
          .remaining = remaining,
          .named_by_upstream = true,
          .cause = ErrorClass::rate_limit,
          .failed_probes = 1};
}

std::vector<BenchNews> news(Patient& patient, Announced& announced) {
  std::vector<BenchNews> out;
  for (const auto& said : announcements(patient.health.bench_view(patient.now), announced))
    out.push_back(said.news);
  return out;
}

TEST_CASE("another instance's bench benches here, and ends no earlier than there") {
  Patient patient;
  CHECK(patient.health.adopt(bench_of(seconds(10)), patient.random, patient.now));
  CHECK(patient.look().state == HealthState::cooling);
  CHECK(patient.look().cause == ErrorClass::rate_limit);
  CHECK(patient.look().named_by_upstream);
  CHECK(patient.benched_for(seconds(10)));
}

TEST_CASE("an adopted bench ends a little later at each instance") {
  Patient here;
  Patient there;
  there.random.seed(12);
  here.health.adopt(bench_of(milliseconds(100)), here.random, here.now);
  there.health.adopt(bench_of(milliseconds(100)), there.random, there.now);
  CHECK(here.look().until != there.look().until);
  CHECK(here.remaining() <= milliseconds(100) + bounds::kAdoptedJitterLeast);
}

TEST_CASE("an adopted bench replaces an earlier end, never a later one") {
  Patient patient;
  patient.fail(ErrorClass::rate_limit, seconds(20));
  CHECK_FALSE(patient.health.adopt(bench_of(seconds(5), 1), patient.random, patient.now));
  CHECK(patient.benched_for(seconds(20)));
  CHECK(patient.health.adopt(bench_of(seconds(60), 2), patient.random, patient.now));
  CHECK(patient.benched_for(seconds(60)));
}

TEST_CASE("a bench that is known or was closed here is not adopted again") {
  Patient patient;
  patient.fail(ErrorClass::rate_limit, seconds(2));
  Bench echo = *patient.health.bench_view(patient.now).bench;
  echo.remaining += seconds(5);
  CHECK_FALSE(patient.health.adopt(echo, patient.random, patient.now));
  patient.pass_bench();
  patient.succeed();
  CHECK_FALSE(patient.health.adopt(echo, patient.random, patient.now));
  CHECK(patient.look().state == HealthState::closed);
}

TEST_CASE("a bench that is over elsewhere is half-open here, unless one is held already") {
  Patient patient;
  CHECK(patient.health.adopt(bench_of(-seconds(3), 1), patient.random, patient.now));
  CHECK_FALSE(patient.callable());
  patient.pass(bounds::kAdoptedJitterLeast);
  CHECK(patient.look().state == HealthState::half_open);
  CHECK(patient.callable());
  CHECK_FALSE(patient.health.adopt(bench_of(-seconds(1), 2), patient.random, patient.now));
  CHECK(patient.begin().probe);
}

TEST_CASE("what was in flight when a bench was adopted neither closes nor doubles it") {
  Patient patient;
  const Permit success = patient.begin();
  const Permit failure = patient.begin();
  patient.health.adopt(bench_of(seconds(10)), patient.random, patient.now);
  CHECK(patient.health.record_success(success, patient.now) == HealthChange::none);
  CHECK(patient.fail(failure, testing::failed_with(ErrorClass::rate_limit)) == HealthChange::none);
  CHECK(patient.benched_for(seconds(10)));
}

TEST_CASE("probes that failed elsewhere double the next bench here") {
  Patient patient;
  patient.health.adopt(bench_of(seconds(10)), patient.random, patient.now);
  patient.pass_bench();
  patient.fail(ErrorClass::rate_limit);
  CHECK(patient.benched_for(seconds(20)));
}

TEST_CASE("another instance's success ends the bench it is about, and no other") {
  Patient patient;
  patient.health.adopt(bench_of(seconds(10), 1), patient.random, patient.now);
  patient.health.adopt(bench_of(seconds(30), 2), patient.random, patient.now);
  CHECK_FALSE(patient.health.close(BenchId{kOther, 1}));
  CHECK(patient.benched_for(seconds(30)));
  CHECK(patient.health.close(BenchId{kOther, 2}));
  CHECK(patient.look().state == HealthState::closed);
  CHECK_FALSE(patient.health.close(BenchId{}));
}

TEST_CASE("while another instance probes, nobody here does") {
  Patient patient;
  patient.health.adopt(bench_of(seconds(1)), patient.random, patient.now);
  patient.pass_bench();
  REQUIRE(patient.callable());
  patient.health.probed_elsewhere({kOther, 1}, patient.now + seconds(30));
  CHECK_FALSE(patient.callable());
  CHECK(patient.look().probing);
  CHECK_FALSE(patient.health.begin(testing::kDeployment, patient.now));
  patient.pass(seconds(30));
  CHECK(patient.callable());
}

TEST_CASE("a probe elsewhere that ends without an outcome frees the deployment") {
  Patient patient;
  patient.health.adopt(bench_of(seconds(1)), patient.random, patient.now);
  patient.pass_bench();
  patient.health.probed_elsewhere({kOther, 1}, patient.now + seconds(30));
  patient.health.probed_elsewhere({kOther, 2}, patient.now);  // about another bench
  CHECK_FALSE(patient.callable());
  patient.health.probed_elsewhere({kOther, 1}, patient.now);
  CHECK(patient.callable());
}

TEST_CASE("a bench is announced once, with its extension and its end") {
  Patient patient;
  Announced announced;
  CHECK(news(patient, announced).empty());
  const Permit late = patient.begin();
  patient.fail(ErrorClass::rate_limit, seconds(2));
  CHECK(news(patient, announced) == std::vector{BenchNews::benched});
  CHECK(news(patient, announced).empty());
  patient.fail(late, testing::failed_with(ErrorClass::rate_limit, seconds(9)));
  CHECK(news(patient, announced) == std::vector{BenchNews::benched});
  patient.pass_bench();
  const Permit probe = patient.begin();
  CHECK(news(patient, announced) == std::vector{BenchNews::probing});
  patient.health.record_success(probe, patient.now);
  CHECK(news(patient, announced) == std::vector{BenchNews::closed});
  CHECK(news(patient, announced).empty());
}

TEST_CASE("a probe that was given back is announced") {
  Patient patient;
  Announced announced;
  patient.fail(ErrorClass::rate_limit, seconds(2));
  patient.pass_bench();
  const Permit probe = patient.begin();
  // Nobody listened until now: the bench itself is over, and not worth a word.
  CHECK(news(patient, announced) == std::vector{BenchNews::probing});
  patient.health.give_back(probe);
  CHECK(news(patient, announced) == std::vector{BenchNews::released});
}

TEST_CASE("a bench that ended and began again unheard is both") {
  Patient patient;
  Announced announced;
  patient.fail(ErrorClass::rate_limit, seconds(2));
  patient.pass_bench();
  patient.succeed();
  patient.fail(ErrorClass::rate_limit, seconds(2));
  CHECK(news(patient, announced) == std::vector{BenchNews::closed, BenchNews::benched});
}

TEST_CASE("messages survive being written and read") {
  for (const Announcement& said : {Announcement{BenchNews::benched, bench_of(milliseconds(4980))},
                                   Announcement{BenchNews::closed, {.id = {kOther, 42}}},
                                   Announcement{BenchNews::probing, {.id = {kOther, 42}}},
                                   Announcement{BenchNews::released, {.id = {kOther, 42}}}}) {
    const BenchMessage message{7, said, "a deployment, with spaces"};
    CHECK(parse_bench_message(to_string(message)) == message);
  }
  const Bench bench = bench_of(Duration::zero());
  CHECK(bench_record(bench) == "1 5ca1ab1e00000007-1 cooling rate_limit 1 1");
  CHECK(parse_bench_record(bench_record(bench)) == bench);
}

TEST_CASE("what was not written by us is not read") {
  for (const std::string_view text :
       {"",
        " ",
        "closed",
        "closed 1-1",
        "closed 1-1 ",
        "closed 1 groq",
        "closed 1-0 groq",
        "closed x-1 groq",
        "benched",
        "benched 1 1 1-1 cooling rate_limit 1 0",
        "benched 0 1 1-1 cooling rate_limit 1 0 groq",
        "benched -5 1 1-1 cooling rate_limit 1 0 groq",
        "benched 99999999999999999999 1 1-1 cooling rate_limit 1 0 groq",
        "benched 2592000001 1 1-1 cooling rate_limit 1 0 groq",
        "benched 9 2 1-1 cooling rate_limit 1 0 groq",
        "benched 9 1 1-1 closed rate_limit 1 0 groq",
        "benched 9 1 1-1 cooling nothing 1 0 groq",
        "benched 9 1 1-1 cooling rate_limit 2 0 groq",
        "benched 9 1 1-1 cooling rate_limit 1 65 groq",
        "exploded 1-1 groq"}) {
    INFO(text);
    CHECK_FALSE(parse_bench_message("7 " + std::string(text)));
  }
  CHECK(parse_bench_message("7 benched 9 1 1-1 cooling rate_limit 1 0 groq"));
  CHECK_FALSE(parse_bench_message("x closed 1-1 groq"));
  CHECK_FALSE(parse_bench_record("1 1-1 cooling rate_limit 1 0 more"));
  CHECK_FALSE(parse_bench_record(std::string_view("1 1-1 cooling\0rate_limit 1 0", 27)));
}

}  // namespace
}  // namespace spillway
