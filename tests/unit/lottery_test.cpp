// Draws from a group's first tier: with the shares that a look at every member would give.
#include "core/lottery.hpp"

#include <array>
#include <catch2/catch_test_macros.hpp>
#include <cstdlib>
#include <initializer_list>
#include <vector>

#include "core/selection.hpp"
#include "decision_support.hpp"

using namespace spillway;
using namespace spillway::testing;

namespace {

constexpr GroupIndex kGroup{0};
constexpr unsigned kMany = 20000;

using Shares = std::array<double, 8>;

Shares drawn(const Lottery& lottery) {
  Random random(3);
  Shares shares{};
  for (unsigned i = 0; i < kMany && lottery.entrants() > 0; ++i)
    shares[lottery.draw(random).value] += 1.0 / kMany;
  return shares;
}

Config weighted(std::initializer_list<double> weights) {
  Config config = group_of(static_cast<unsigned>(weights.size()));
  auto deployment = config.deployments.begin();
  for (const double weight : weights) {
    deployment->weight = weight;
    deployment->weighted = true;
    ++deployment;
  }
  return config;
}

bool near(double share, double expected) {
  return std::abs(share - expected) < 0.02;
}

// A fleet of one group that counts who is looked at.
class WatchedFleet final : public Fleet {
 public:
  explicit WatchedFleet(const Config& config) : fleet_(config, 7) {}
  Availability availability(DeploymentIndex d, TimePoint now) override {
    ++looks;
    return fleet_.availability(d, now);
  }
  std::optional<Permit> begin(DeploymentIndex d, TimePoint now, DeploymentHealth::Force force,
                              std::uint64_t tokens) override {
    return fleet_.begin(d, now, force, tokens);
  }
  HealthChange succeeded(const Permit& p, TimePoint now) override {
    return fleet_.succeeded(p, now);
  }
  HealthChange failed(const Permit& p, const Failure& f, Benching b, TimePoint now) override {
    return fleet_.failed(p, f, b, now);
  }
  void give_back(const Permit& p) override { fleet_.give_back(p); }
  void end(const Permit& p) override { fleet_.end(p); }
  void count_request(GroupIndex g, TimePoint now) override { fleet_.count_request(g, now); }
  bool draw_retry(GroupIndex g, TimePoint now) override { return fleet_.draw_retry(g, now); }
  void give_back_retry(GroupIndex g) override { fleet_.give_back_retry(g); }
  const Lottery* lottery(GroupIndex g) override { return fleet_.lottery(g); }
  Random& random() override { return fleet_.random(); }

  unsigned looks = 0;

 private:
  LocalFleet fleet_;
};

}  // namespace

TEST_CASE("draws share the traffic by weight") {
  const Config config = weighted({1.0, 0.0, 7.0, 2.0});
  const Shares shares = drawn(Lottery(config, kGroup));
  CHECK(near(shares[0], 0.1));
  CHECK(shares[1] == 0.0);
  CHECK(near(shares[2], 0.7));
  CHECK(near(shares[3], 0.2));
}

TEST_CASE("without weights every draw is even") {
  const Shares shares = drawn(Lottery(group_of(4), kGroup));
  for (unsigned i = 0; i < 4; ++i) CHECK(near(shares[i], 0.25));
}

TEST_CASE("equal shares are drawn by the same places, whatever they are equal to") {
  const Config config = weighted({3.0, 3.0, 3.0, 3.0, 3.0});
  const Lottery even(config, kGroup);
  Random random(3), places(3);
  for (unsigned i = 0; i < kMany; ++i)
    REQUIRE(even.draw(random).value == static_cast<unsigned>(uniform(places) * 5.0));
}

TEST_CASE("only the first tier is drawn from") {
  Config config = group_of(4);
  config.deployments[1].order = 2;
  config.deployments[2].order = 1;
  config.deployments[3].order = 1;
  const Shares shares = drawn(Lottery(config, kGroup));
  CHECK(near(shares[2], 0.5));
  CHECK(near(shares[3], 0.5));
}

TEST_CASE("a strategy that compares times draws evenly among those that no weight drains") {
  Config config = weighted({0.0, 1.0, 9.0});
  config.router.strategy = RoutingStrategy::adaptive;
  const Shares shares = drawn(Lottery(config, kGroup));
  CHECK(shares[0] == 0.0);
  CHECK(near(shares[1], 0.5));
}

TEST_CASE("cost-based routing draws among the cheapest") {
  Config config = group_of(4);
  config.router.strategy = RoutingStrategy::cost_based;
  config.deployments[0].cost_per_token = 2e-6;
  config.deployments[1].cost_per_token = 1e-6;
  config.deployments[3].cost_per_token = 1e-6;
  const Shares shares = drawn(Lottery(config, kGroup));
  CHECK(near(shares[1], 0.5));
  CHECK(near(shares[3], 0.5));
}

TEST_CASE("least-busy draws among all, whatever their weights") {
  Config config = weighted({0.0, 1.0});
  config.router.strategy = RoutingStrategy::least_busy;
  CHECK(near(drawn(Lottery(config, kGroup))[0], 0.5));
}

TEST_CASE("where a weight counts only in the absence of others, all are looked at") {
  Config config = weighted({1.0, 7.0, 2.0});
  config.deployments[0].weighted = false;
  CHECK(drawn(Lottery(config, kGroup)) == Shares{});
}

TEST_CASE("an empty group, and one whose weights are all zero, draw nobody") {
  CHECK(Lottery(group_of(0), kGroup).entrants() == 0);
  CHECK(Lottery(weighted({0.0, 0.0}), kGroup).entrants() == 0);
}

TEST_CASE("to pick one of a large group takes no longer than of a small one") {
  for (const auto strategy :
       {RoutingStrategy::simple_shuffle, RoutingStrategy::least_busy, RoutingStrategy::usage_based,
        RoutingStrategy::latency_based, RoutingStrategy::cost_based, RoutingStrategy::adaptive}) {
    Config config = group_of(1000);
    config.router.strategy = strategy;
    WatchedFleet fleet(config);
    const PickContext context{config, fleet, Endpoint::chat_completions, {}, std::nullopt};
    for (int i = 0; i < 100; ++i) REQUIRE(pick_deployment(context, kGroup, kStart));
    CHECK(fleet.looks <= 400);
  }
}

TEST_CASE("whoever cannot be called leaves its share to the others by their weights") {
  const Config config = weighted({1.0, 90.0, 3.0});
  WatchedFleet fleet(config);
  const std::vector<DeploymentIndex> excluded{DeploymentIndex{1}};
  const PickContext context{config, fleet, Endpoint::chat_completions, excluded, std::nullopt};
  Shares shares{};
  for (unsigned i = 0; i < kMany; ++i) {
    const auto picked = pick_deployment(context, kGroup, kStart);
    REQUIRE(picked);
    shares[picked->value] += 1.0 / kMany;
  }
  CHECK(near(shares[0], 0.25));
  CHECK(near(shares[2], 0.75));
}
