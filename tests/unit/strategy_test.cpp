#include "core/strategy.hpp"

#include <array>
#include <catch2/catch_test_macros.hpp>
#include <cstdlib>

#include "core/selection.hpp"
#include "decision_support.hpp"
#include "server/snapshot.hpp"

namespace spillway {
namespace {

using testing::failed_with;
using testing::group_of;
using testing::kStart;

constexpr unsigned kDraws = 10000;
constexpr auto kNoForce = DeploymentHealth::Force::no;

struct Group {
  explicit Group(unsigned deployments, RoutingStrategy strategy)
      : config(group_of(deployments)), fleet(config, 11) {
    config.router.strategy = strategy;
  }

  // A call that stays in flight.
  Permit call(std::uint32_t deployment) {
    const auto permit = fleet.begin(DeploymentIndex{deployment}, now, kNoForce);
    REQUIRE(permit);
    return *permit;
  }
  // A call that took `time` to its first token, and is over.
  void answer(std::uint32_t deployment, Duration time) {
    Permit permit = call(deployment);
    permit.begun = now - time;
    fleet.first_token(permit, Delivery::streamed, now);
    fleet.succeeded(permit, now);
    fleet.end(permit);
  }
  std::array<double, 8> shares(std::vector<DeploymentIndex> excluded = {}) {
    std::array<double, 8> picked{};
    const PickContext context{config,   fleet,        Endpoint::chat_completions,
                              excluded, std::nullopt, Delivery::streamed};
    for (unsigned i = 0; i < kDraws; ++i) {
      const auto deployment = pick_deployment(context, GroupIndex{0}, now);
      if (deployment) picked[deployment->value] += 1.0 / kDraws;
    }
    return picked;
  }
  // Benches the deployment, and lets it come back now.
  void recover(std::uint32_t deployment) {
    const Permit permit = call(deployment);
    fleet.failed(permit, failed_with(ErrorClass::rate_limit, seconds(1)), Benching::allowed, now);
    fleet.end(permit);
    now += seconds(5);
    answer(deployment, milliseconds(100));
  }

  Config config;
  LocalFleet fleet;
  TimePoint now = kStart;
};

bool near(double share, double expected) {
  return std::abs(share - expected) < 0.02;
}

TEST_CASE("least-busy takes any of those with the fewest calls in flight") {
  Group group(3, RoutingStrategy::least_busy);
  group.call(1);
  const auto shares = group.shares();
  CHECK(near(shares[0], 0.5));
  CHECK(shares[1] == 0.0);
  CHECK(near(shares[2], 0.5));
}

TEST_CASE("usage-based routing takes the one that used the fewest tokens of late") {
  Group group(3, RoutingStrategy::usage_based);
  group.fleet.used_tokens(DeploymentIndex{0}, 100, group.now);
  group.fleet.used_tokens(DeploymentIndex{1}, 50, group.now);
  group.fleet.used_tokens(DeploymentIndex{2}, 70, group.now);
  CHECK(near(group.shares()[1], 1.0));
  group.now += seconds(61);
  CHECK(near(group.shares()[0], 1.0 / 3));
}

TEST_CASE("usage-based routing leaves out whoever is at its limit") {
  Group group(2, RoutingStrategy::usage_based);
  group.config.deployments[0].rpm = 1;
  group.fleet.end(group.call(0));
  group.fleet.used_tokens(DeploymentIndex{1}, 1000, group.now);
  CHECK(near(group.shares()[1], 1.0));
  CHECK(group.shares({DeploymentIndex{1}})[0] == 0.0);
}

TEST_CASE("simple-shuffle does not take rpm for a limit unless it is enforced") {
  Group group(1, RoutingStrategy::simple_shuffle);
  group.config.deployments[0].rpm = 1;
  group.fleet.end(group.call(0));
  CHECK(near(group.shares()[0], 1.0));
  group.config.router.enforce_model_rate_limits = true;
  CHECK(group.shares()[0] == 0.0);
}

TEST_CASE("latency-based routing explores what it does not know, then takes the quickest") {
  Group group(3, RoutingStrategy::latency_based);
  group.answer(0, milliseconds(300));
  group.answer(1, milliseconds(100));
  CHECK(near(group.shares()[2], 1.0));
  group.answer(2, milliseconds(200));
  CHECK(near(group.shares()[1], 1.0));
}

TEST_CASE("lowest_latency_buffer shares the traffic among all that are nearly as quick") {
  Group group(3, RoutingStrategy::latency_based);
  group.config.router.lowest_latency_buffer = 0.5;
  group.answer(0, milliseconds(149));
  group.answer(1, milliseconds(100));
  group.answer(2, milliseconds(151));
  const auto shares = group.shares();
  CHECK(near(shares[0], 0.5));
  CHECK(near(shares[1], 0.5));
  CHECK(shares[2] == 0.0);
}

TEST_CASE("a worker takes whom a rehearsal on a copy of its state takes") {
  for (const auto strategy : {RoutingStrategy::least_busy, RoutingStrategy::usage_based,
                              RoutingStrategy::latency_based}) {
    Config config = group_of(12);
    config.router.strategy = strategy;
    config.deployments[3].rpm = 1;
    config.deployments[4].max_parallel_requests = 1;
    const auto snapshot = server::make_snapshot(config, nullptr);
    Random random(11);
    server::WorkerFleet workers(*snapshot, random);
    TimePoint now = kStart;
    for (unsigned calls = 0; calls < 200; ++calls) {
      LocalFleet copy = server::copy_of(*snapshot, 0);
      copy.random() = random;
      const PickContext rehearsed{config, copy, Endpoint::chat_completions, {}, std::nullopt};
      const PickContext asked{config, workers, Endpoint::chat_completions, {}, std::nullopt};
      const auto expected = pick_deployment(rehearsed, GroupIndex{0}, now);
      const auto picked = pick_deployment(asked, GroupIndex{0}, now);
      REQUIRE(picked);
      CHECK(picked == expected);
      CHECK(random == copy.random());
      const auto permit = workers.begin(*picked, now, kNoForce);
      REQUIRE(permit);
      now += milliseconds(100 + calls * 37 % 11);
      workers.first_token(*permit, Delivery::whole, now);
      workers.used_tokens(*picked, 1 + calls * 5 % 7, now);
      if (calls % 3 > 0) workers.end(*permit);
    }
  }
}

TEST_CASE("latency-based routing forgets times that are older than ttl") {
  Group group(2, RoutingStrategy::latency_based);
  group.config.router.latency_ttl = seconds(10);
  group.answer(0, milliseconds(300));
  group.now += seconds(10);
  group.answer(1, milliseconds(100));
  CHECK(near(group.shares()[0], 1.0));
}

TEST_CASE("cost-based routing takes the cheapest, and what has no price last") {
  Group group(3, RoutingStrategy::cost_based);
  group.config.deployments[1].cost_per_token = 3e-6;
  group.config.deployments[2].cost_per_token = 2e-6;
  CHECK(near(group.shares()[2], 1.0));
  CHECK(near(group.shares({DeploymentIndex{2}})[1], 1.0));
  CHECK(near(group.shares({DeploymentIndex{1}, DeploymentIndex{2}})[0], 1.0));
}

TEST_CASE("order comes before every strategy") {
  for (const auto strategy :
       {RoutingStrategy::simple_shuffle, RoutingStrategy::least_busy, RoutingStrategy::usage_based,
        RoutingStrategy::latency_based, RoutingStrategy::cost_based, RoutingStrategy::adaptive}) {
    Group group(3, strategy);
    group.config.deployments[1].order = 1;
    group.config.deployments[1].cost_per_token = 9.0;
    group.config.deployments[2].cost_per_token = 1.0;
    group.answer(1, seconds(9));
    group.call(1);
    group.fleet.used_tokens(DeploymentIndex{1}, 1000, group.now);
    CHECK(near(group.shares()[1], 1.0));
  }
}

// --- adaptive ------------------------------------------------------------------------------------

TEST_CASE("adaptive shares evenly while nothing is known") {
  Group group(4, RoutingStrategy::adaptive);
  const auto shares = group.shares();
  for (unsigned i = 0; i < 4; ++i) CHECK(near(shares[i], 0.25));
}

TEST_CASE("adaptive never takes the worst of its group while another can answer") {
  Group group(3, RoutingStrategy::adaptive);
  for (const std::uint32_t quick : {0u, 1u}) group.answer(quick, milliseconds(100));
  group.answer(2, milliseconds(1000));
  CHECK(group.shares()[2] == 0.0);
  CHECK(near(group.shares({DeploymentIndex{0}, DeploymentIndex{1}})[2], 1.0));
}

TEST_CASE("adaptive weighs calls in flight against the time to the first token") {
  Group group(2, RoutingStrategy::adaptive);
  group.answer(0, milliseconds(100));
  group.answer(1, milliseconds(250));
  group.call(0);
  CHECK(near(group.shares()[0], 1.0));  // 2 * 100 < 1 * 250
  group.call(0);
  CHECK(near(group.shares()[1], 1.0));  // 3 * 100 > 1 * 250
}

TEST_CASE("adaptive sends the calls of a deployment without a time elsewhere as they pile up") {
  Group group(2, RoutingStrategy::adaptive);
  group.answer(0, milliseconds(100));
  group.call(1);
  CHECK(near(group.shares()[0], 1.0));
}

TEST_CASE("adaptive passes over what fails now and then") {
  Group group(2, RoutingStrategy::adaptive);
  for (const std::uint32_t each : {0u, 1u}) group.answer(each, milliseconds(100));
  const Permit permit = group.call(0);
  group.fleet.failed(permit, failed_with(ErrorClass::internal), Benching::allowed, group.now);
  group.fleet.end(permit);
  CHECK(near(group.shares()[1], 1.0));
}

TEST_CASE("adaptive spares a deployment whose rate limit runs out") {
  Group group(2, RoutingStrategy::adaptive);
  for (const std::uint32_t each : {0u, 1u}) group.answer(each, milliseconds(100));
  const Quotas plenty{.requests = Quota{100, 21}, .tokens = {}};
  const Quotas scarce{.requests = Quota{100, 3}, .tokens = {}};
  group.fleet.told_quotas(DeploymentIndex{0}, plenty, group.now);
  CHECK(near(group.shares()[0], 0.5));
  group.fleet.told_quotas(DeploymentIndex{0}, scarce, group.now);
  CHECK(near(group.shares()[1], 1.0));
}

TEST_CASE("adaptive gives a recovered deployment a trickle, then more and more") {
  Group group(2, RoutingStrategy::adaptive);
  group.answer(0, milliseconds(100));
  group.recover(0);
  group.answer(1, milliseconds(100));
  // Slower by a hair, so that only the slow start keeps the other from all of it.
  group.answer(1, milliseconds(101));
  CHECK(near(group.shares()[0], bounds::kSlowStartShare));
  group.now += bounds::kSlowStart / 2;
  CHECK(near(group.shares()[0], 0.5));
  group.now += bounds::kSlowStart / 2;
  CHECK(near(group.shares()[0], 1.0));
}

TEST_CASE("a weight of zero drains a deployment under adaptive too") {
  Group group(3, RoutingStrategy::adaptive);
  for (Deployment& deployment : group.config.deployments) deployment.weighted = true;
  group.config.deployments[0].weight = 0.0;
  group.config.deployments[1].weight = 0.1;
  const auto shares = group.shares();
  CHECK(shares[0] == 0.0);
  CHECK(near(shares[1], 0.5));
  CHECK(near(group.shares({DeploymentIndex{1}, DeploymentIndex{2}})[0], 1.0));
}

}  // namespace
}  // namespace spillway
