#include "server/shared_limits.hpp"

#include <catch2/catch_test_macros.hpp>

#include "decision_support.hpp"
#include "server/shared_affinities.hpp"

namespace spillway::server {
namespace {

using testing::kStart;
using Heard = SharedLimits::Heard;

// One instance's side: a limited deployment, and one without limits.
struct Instance {
  explicit Instance(std::uint64_t self = 2) : limits(self, 0), affinities(0) {
    Config config;
    for (const std::string_view id : {"groq", "free"}) {
      Deployment deployment;
      deployment.id = id;
      if (id == "groq") deployment.rpm = 100;
      config.deployments.push_back(std::move(deployment));
    }
    config.groups.resize(1);
    config.groups[0].name = "m";
    config.groups[0].deployments = {{0}, {1}};
    config.router.enforce_model_rate_limits = true;
    config.router.affinity.session = true;
    snapshot = make_snapshot(std::move(config), nullptr, &listener);
    expect_leases(*snapshot, now);
    limits.use(snapshot);
    affinities.use(snapshot);
  }

  struct Listener final : ChangeListener {
    void changed() override { ++told; }
    unsigned told = 0;
  };

  WorkerFleet fleet() { return {*snapshot, random}; }
  bool begin() { return fleet().begin({0}, now, DeploymentHealth::Force::no).has_value(); }
  bool shared() { return fleet().load({0}, Delivery::whole, now).limits_shared; }

  Listener listener;
  Random random{5};
  TimePoint now = kStart;
  SnapshotPtr snapshot;
  SharedLimits limits;
  SharedAffinities affinities;
};

std::vector<std::string> words_of(const std::vector<SharedCommand>& commands) {
  REQUIRE(commands.size() == 1);
  RedisReader reader;
  reader.feed(commands[0].bytes);
  const auto reply = reader.next();
  REQUIRE((reply && *reply));
  std::vector<std::string> words;
  for (const RedisReply& word : (*reply)->list) words.push_back(word.text);
  return words;
}

RedisReply numbers(std::initializer_list<std::int64_t> values) {
  RedisReply reply;
  reply.kind = RedisReply::Kind::list;
  for (const std::int64_t value : values) {
    RedisReply item;
    item.kind = RedisReply::Kind::number;
    item.number = value;
    reply.list.push_back(item);
  }
  return reply;
}

TEST_CASE("a limited deployment is stated at once, then with news, and renewed every second") {
  Instance here;
  CHECK(here.limits.next(here.now) <= here.now);
  CHECK(here.limits.statements(here.now).size() == 1);
  CHECK(here.limits.on_reply("groq", numbers({10, 0, 0, 0, 1, 1}), here.now) == Heard::fine);
  CHECK(here.limits.statements(here.now).empty());
  CHECK(here.limits.next(here.now) == here.now + bounds::kLeaseRenewal);
  for (int i = 0; i < 6; ++i) CHECK(here.begin());
  CHECK(here.listener.told == 1);
  CHECK(here.limits.statements(here.now).empty());
  CHECK(here.limits.next(here.now) == here.now + bounds::kLeasePause);
  here.now += bounds::kLeasePause;
  CHECK(here.limits.statements(here.now).size() == 1);
  CHECK(here.limits.next(here.now) == here.now + bounds::kLeaseRenewal);
}

TEST_CASE("a statement names who, the limits, the amounts, its number and what was used") {
  Instance here;
  here.limits.statements(here.now);
  REQUIRE(here.limits.on_reply("groq", numbers({10, 0, 0, 0, 1, 1}), here.now) == Heard::fine);
  CHECK(here.begin());
  here.now += seconds(1);
  const auto words = words_of(here.limits.statements(here.now));
  REQUIRE(words.size() == 18);
  CHECK(words[3] == "spillway:limits:groq");
  const std::vector<std::string> told(words.begin() + 4, words.end());
  CHECK(told == std::vector<std::string>{"0000000000000002", "100", "-1", "9", "0", "9", "0", "10",
                                         "0", "5000", "spillway:limits:0", "0000000000000002 groq",
                                         "2", "1000:1:0"});
}

TEST_CASE("an instance that ends holds nothing any more") {
  Instance here;
  here.limits.statements(here.now);
  REQUIRE(here.limits.on_reply("groq", numbers({10, 0, 0, 0, 1, 1}), here.now) == Heard::fine);
  const auto words = words_of(here.limits.farewell(here.now));
  CHECK((words[7] == "0" && words[9] == "0" && words[11] == "0"));
}

TEST_CASE("an answer that is none leaves the deployment its own limit until there is one") {
  RedisReply error;
  error.kind = RedisReply::Kind::error;
  for (const RedisReply& useless :
       {error, RedisReply(), numbers({}), numbers({1, 0, 0, 0, 1}), numbers({-1, 0, 0, 0, 1, 1}),
        numbers({INT64_MAX, 0, 0, 0, 1, 1})}) {
    Instance here;
    here.limits.statements(here.now);
    CHECK(here.limits.on_reply("groq", useless, here.now) == Heard::useless);
    CHECK_FALSE(here.shared());
    CHECK(here.begin());
    here.now += bounds::kLeaseRenewal;
    here.limits.statements(here.now);
    CHECK(here.limits.on_reply("groq", numbers({1, 0, 0, 0, 1, 1}), here.now) == Heard::fine);
    CHECK(here.shared());
  }
}

TEST_CASE("a late answer is told as such, and one about an unknown deployment is ignored") {
  Instance here;
  here.limits.statements(here.now);
  CHECK(here.limits.on_reply("gone", RedisReply(), here.now) == Heard::fine);
  here.now += seconds(1);
  CHECK(here.limits.on_reply("groq", numbers({10, 0, 0, 0, 1, 1}), here.now) == Heard::late);
  CHECK(here.limits.next(here.now) <= here.now);
  CHECK(here.limits.statements(here.now).size() == 1);
}

TEST_CASE("what is asked back is given back with the next statement, but not by who asks") {
  Instance here;
  here.limits.statements(here.now);
  REQUIRE(here.limits.on_reply("groq", numbers({10, 0, 0, 0, 1, 1}), here.now) == Heard::fine);
  CHECK(here.limits.on_message("0000000000000002 groq", here.now));
  CHECK(here.begin());
  CHECK(here.limits.on_message("0000000000000001 other", here.now));
  CHECK(here.begin());
  CHECK(here.limits.on_message("0000000000000001 groq", here.now));
  CHECK_FALSE(here.begin());
  here.now += bounds::kLeasePause;
  CHECK(words_of(here.limits.statements(here.now))[7] == "0");
}

TEST_CASE("messages that ask for nothing of ours are refused") {
  Instance here;
  for (const std::string_view text : {"", "groq", "12", "12 ", "zz groq", "11112222333344445 groq"})
    CHECK_FALSE(here.limits.on_message(text, here.now));
}

// --- affinities ----------------------------------------------------------------------------------

TEST_CASE("who answered a session travels from one instance to another") {
  Instance here, there;
  here.fleet().pin({0}, 77, {1}, here.now);
  CHECK(here.listener.told == 1);
  const auto words = words_of(here.affinities.news());
  REQUIRE(words.size() == 3);
  CHECK(words[1] == "spillway:affinities:0");
  CHECK(here.affinities.news().empty());
  CHECK(there.affinities.on_message(words[2], there.now));
  CHECK(there.fleet().pinned({0}, 77, there.now) == DeploymentIndex{1});
  CHECK(there.affinities.news().empty());
  CHECK_FALSE(there.fleet().pinned({0}, 78, there.now));
}

TEST_CASE("two instances that pin at once agree on what was told last") {
  Instance here, there;
  here.fleet().pin({0}, 77, {0}, here.now);
  there.fleet().pin({0}, 77, {1}, there.now);
  const std::string first = words_of(here.affinities.news()).back();
  const std::string second = words_of(there.affinities.news()).back();
  for (Instance* each : {&here, &there}) {
    each->affinities.on_message(first, each->now);
    each->affinities.on_message(second, each->now);
    CHECK(each->fleet().pinned({0}, 77, each->now) == DeploymentIndex{1});
  }
}

TEST_CASE("affinities to deployments that are unknown here take no room") {
  Instance here;
  CHECK(here.affinities.on_message("4d 3600000 elsewhere", here.now));
  CHECK(here.snapshot->affinity->table.size() == 0);
  CHECK_FALSE(here.affinities.on_message("junk", here.now));
}

TEST_CASE("what nobody takes to the others is bounded") {
  Instance here;
  for (std::uint64_t i = 0; i < bounds::kAffinityNews + 10; ++i)
    here.fleet().pin({0}, i, {1}, here.now);
  CHECK(here.snapshot->affinity->news.size() == bounds::kAffinityNews);
}

}  // namespace
}  // namespace spillway::server
