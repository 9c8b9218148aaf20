#include "server/shared_benches.hpp"

#include <catch2/catch_test_macros.hpp>

#include "decision_support.hpp"

namespace spillway::server {
namespace {

using testing::kStart;

// One instance's side: two deployments that may be benched, and one that is alone.
struct Instance {
  explicit Instance(std::uint64_t self) : benches(self, 0, Random(self)) {
    Config config;
    for (const std::string_view id : {"groq", "mistral", "alone"}) {
      Deployment deployment;
      deployment.id = id;
      deployment.group = GroupIndex{id == "alone" ? 1U : 0U};
      config.deployments.push_back(std::move(deployment));
    }
    config.groups.resize(2);
    config.groups[0].deployments = {{0}, {1}};
    config.groups[1].deployments = {{2}};
    snapshot = make_snapshot(std::move(config), nullptr, &listener);
    benches.use(snapshot);
  }

  struct Listener final : ChangeListener {
    void changed() override { ++told; }
    unsigned told = 0;
  };

  WorkerFleet fleet() { return {*snapshot, random}; }
  void limit(Duration hint) {
    WorkerFleet workers = fleet();
    const auto permit = workers.begin({0}, now, DeploymentHealth::Force::yes);
    REQUIRE(permit);
    workers.failed(*permit, testing::failed_with(ErrorClass::rate_limit, hint), Benching::allowed,
                   now);
    workers.end(*permit);
  }
  Availability look(std::uint32_t deployment = 0) {
    return fleet().availability({deployment}, now);
  }

  Listener listener;
  Random random{5};
  SnapshotPtr snapshot;
  SharedBenches benches;
  TimePoint now = kStart;
};

// The last argument of the only command: the message that its script publishes.
std::string message_of(const std::vector<SharedCommand>& commands) {
  REQUIRE(commands.size() == 1);
  RedisReader reader;
  reader.feed(commands[0].bytes);
  const auto words = reader.next();
  REQUIRE((words && *words));
  return (*words)->list.back().text;
}

RedisReply told(std::int64_t number, std::string text, std::int64_t probed_for = 0) {
  RedisReply reply, left, held, probed;
  left.kind = RedisReply::Kind::number;
  left.number = number;
  held.kind = RedisReply::Kind::text;
  held.text = std::move(text);
  reply.kind = RedisReply::Kind::list;
  probed.kind = RedisReply::Kind::number;
  probed.number = probed_for;
  reply.list = {left, held, probed};
  return reply;
}

constexpr auto kRecord = "1 00000000000000ff-7 cooling rate_limit 1 0";

TEST_CASE("a bench, its probe and its end travel from one instance to another") {
  Instance here(1), there(2);
  here.limit(seconds(10));
  CHECK(here.listener.told == 1);
  REQUIRE(there.benches.on_message(message_of(here.benches.news(here.now)), there.now));
  CHECK(there.look().state == HealthState::cooling);
  CHECK(there.benches.news(there.now).empty());

  here.now = there.now = kStart + seconds(20);
  REQUIRE(there.look().callable);
  WorkerFleet workers = here.fleet();
  const auto probe = workers.begin({0}, here.now, DeploymentHealth::Force::no);
  REQUIRE(probe);
  REQUIRE(there.benches.on_message(message_of(here.benches.news(here.now)), there.now));
  CHECK(there.look().probing);
  CHECK_FALSE(there.look().callable);
  workers.succeeded(*probe, here.now);
  REQUIRE(there.benches.on_message(message_of(here.benches.news(here.now)), there.now));
  CHECK(there.look().state == HealthState::closed);
  CHECK(there.benches.news(there.now).empty());
}

TEST_CASE("whoever probes first, the bench is known by the same name to all") {
  Instance here(1), there(2);
  here.limit(seconds(10));
  there.benches.on_message(message_of(here.benches.news(here.now)), there.now);
  here.now = there.now = kStart + seconds(20);
  WorkerFleet workers = there.fleet();
  const auto probe = workers.begin({0}, there.now, DeploymentHealth::Force::no);
  REQUIRE(probe);
  const std::string probing = message_of(there.benches.news(there.now));
  there.benches.on_message(probing, there.now);
  here.benches.on_message(probing, here.now);
  CHECK_FALSE(here.look().callable);
  workers.give_back(*probe);
  here.benches.on_message(message_of(there.benches.news(there.now)), here.now);
  CHECK(here.look().callable);
  CHECK(there.look().callable);
}

TEST_CASE("an instance's own messages change nothing for it") {
  Instance here(1);
  here.limit(seconds(10));
  const std::string message = message_of(here.benches.news(here.now));
  const TimePoint until = here.look().until;
  CHECK(here.benches.on_message(message, here.now + seconds(5)));
  CHECK(here.look().until == until);
  CHECK(here.benches.news(here.now).empty());
}

TEST_CASE("what is kept for a deployment is asked for, and taken over") {
  Instance here(1);
  const auto questions = here.benches.questions();
  REQUIRE(questions.size() == 2);
  CHECK(questions[0].deployment == "groq");
  CHECK(questions[0].bytes.find("spillway:bench:groq") != std::string::npos);
  CHECK(here.benches.on_reply("groq", told(9000, kRecord), here.now));
  CHECK(here.look().state == HealthState::cooling);
  CHECK(here.look().until >= here.now + seconds(9));
  CHECK(here.look(1).state == HealthState::closed);
}

TEST_CASE("after connecting again everything that is held is told again") {
  Instance here(1);
  here.limit(seconds(10));
  CHECK(here.benches.news(here.now).size() == 1);
  CHECK(here.benches.news(here.now).empty());
  here.benches.questions();
  CHECK(here.benches.news(here.now).size() == 1);
}

TEST_CASE("a bench is told again and again") {
  Instance here(1);
  CHECK(here.benches.reminders(here.now).empty());
  here.limit(seconds(10));
  CHECK(here.benches.reminders(here.now).size() == 1);
  CHECK(here.benches.reminders(here.now).size() == 1);
}

TEST_CASE("a bench that is over is kept in mind until its probe succeeded") {
  Instance here(1);
  here.limit(seconds(10));
  here.benches.news(here.now);
  here.now += seconds(20);
  CHECK(here.benches.reminders(here.now).size() == 1);
  WorkerFleet workers = here.fleet();
  const auto probe = workers.begin({0}, here.now, DeploymentHealth::Force::no);
  REQUIRE(probe);
  workers.succeeded(*probe, here.now);
  CHECK(here.benches.reminders(here.now).empty());
}

TEST_CASE("what waits for its probe elsewhere is half-open here, and being probed if it is there") {
  Instance here(1), late(2);
  CHECK(here.benches.on_reply("groq", told(-2000, kRecord), here.now));
  CHECK(late.benches.on_reply("groq", told(-2000, kRecord, 9000), late.now));
  here.now += seconds(1);
  late.now += seconds(1);
  CHECK(here.look().state == HealthState::half_open);
  CHECK(here.look().callable);
  CHECK(late.look().state == HealthState::half_open);
  CHECK_FALSE(late.look().callable);
  late.now += seconds(9);
  CHECK(late.look().callable);
}

TEST_CASE("a deployment that is never benched here is not benched by others") {
  Instance here(1);
  CHECK(here.benches.on_message(std::string("ff benched 9000 ") + kRecord + " alone", here.now));
  CHECK(here.look(2).state == HealthState::closed);
  CHECK(here.benches.on_message(std::string("ff benched 9000 ") + kRecord + " unknown", here.now));
  CHECK(here.benches.on_reply("unknown", told(9000, kRecord), here.now));
}

TEST_CASE("replies that are none of ours are refused, and change nothing") {
  Instance here(1);
  RedisReply error;
  error.kind = RedisReply::Kind::error;
  CHECK_FALSE(here.benches.on_reply("groq", error, here.now));
  CHECK_FALSE(here.benches.on_reply("groq", RedisReply(), here.now));
  CHECK_FALSE(here.benches.on_reply("groq", told(9000, "junk"), here.now));
  CHECK(here.benches.on_reply("groq", told(0, ""), here.now));
  CHECK(here.look().state == HealthState::closed);
  CHECK(here.benches.on_reply("groq", told(INT64_MAX, kRecord), here.now));
  CHECK(here.look().until <= here.now + 2 * bounds::kSharedBenchCap);
}

}  // namespace
}  // namespace spillway::server
