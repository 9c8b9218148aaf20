#include "core/selection.hpp"

#include <array>
#include <catch2/catch_test_macros.hpp>
#include <cstdlib>

#include "decision_support.hpp"

namespace spillway {
namespace {

using testing::add_deployment;
using testing::failed_with;
using testing::group_of;
using testing::kStart;

constexpr GroupIndex kGroup{0};
constexpr unsigned kDraws = 20000;

// How often each deployment of a group is picked.
std::array<unsigned, 8> shares(const Config& config, LocalFleet& fleet, TimePoint now,
                               std::vector<DeploymentIndex> excluded = {}) {
  std::array<unsigned, 8> picked{};
  const PickContext context{config, fleet, Endpoint::chat_completions, excluded, std::nullopt};
  for (unsigned i = 0; i < kDraws; ++i) {
    const auto deployment = pick_deployment(context, kGroup, now);
    if (deployment) ++picked[deployment->value];
  }
  return picked;
}

std::array<unsigned, 8> shares(const Config& config) {
  LocalFleet fleet(config, 7);
  return shares(config, fleet, kStart);
}

bool near(unsigned count, double share) {
  return std::abs(static_cast<double>(count) - share * kDraws) < 0.02 * kDraws;
}

std::optional<DeploymentIndex> pick(const Config& config, Fleet& fleet,
                                    std::optional<std::uint64_t> larger_than = std::nullopt,
                                    Endpoint endpoint = Endpoint::chat_completions) {
  const std::vector<DeploymentIndex> excluded;
  return pick_deployment({config, fleet, endpoint, excluded, larger_than}, kGroup, kStart);
}

void bench(LocalFleet& fleet, DeploymentIndex deployment, Duration length, TimePoint now) {
  const auto permit = fleet.begin(deployment, now, DeploymentHealth::Force::no);
  REQUIRE(permit);
  fleet.failed(*permit, failed_with(ErrorClass::rate_limit, length), Benching::allowed, now);
  fleet.end(*permit);
}

TEST_CASE("an empty group has nothing to pick") {
  const Config config = group_of(0);
  LocalFleet fleet(config, 1);
  CHECK_FALSE(pick(config, fleet));
}

TEST_CASE("without weights every deployment has the same share") {
  const auto picked = shares(group_of(4));
  for (unsigned i = 0; i < 4; ++i) CHECK(near(picked[i], 0.25));
}

TEST_CASE("weights share the traffic, even if only some of the entries say one") {
  Config config = group_of(3);
  config.deployments[1].weight = 7;
  config.deployments[1].weighted = true;
  config.deployments[2].weight = 2;
  const auto picked = shares(config);
  CHECK(near(picked[0], 0.1));
  CHECK(near(picked[1], 0.7));
  CHECK(near(picked[2], 0.2));
}

TEST_CASE("weights that no entry asked for are not looked at") {
  Config config = group_of(2);
  config.deployments[1].weight = 100;
  CHECK(near(shares(config)[0], 0.5));
}

TEST_CASE("a weight of zero is picked only if nothing else is left") {
  Config config = group_of(3);
  for (auto& deployment : config.deployments) deployment.weighted = true;
  config.deployments[0].weight = 0;
  config.deployments[1].weight = 0;
  LocalFleet fleet(config, 7);
  CHECK(shares(config, fleet, kStart)[2] == kDraws);
  const auto picked = shares(config, fleet, kStart, {DeploymentIndex{2}});
  CHECK(near(picked[0], 0.5));
  CHECK(near(picked[1], 0.5));
}

TEST_CASE("the lowest order tier with a candidate is picked, whatever its place and weight") {
  Config config = group_of(4);
  config.deployments[0].order = 2;
  config.deployments[1].order = 1;
  config.deployments[2].order = 1;
  for (auto& deployment : config.deployments) deployment.weighted = true;
  config.deployments[3].weight = 1000;  // has no order: comes last
  LocalFleet fleet(config, 7);
  const auto first = shares(config, fleet, kStart);
  CHECK(near(first[1], 0.5));
  CHECK(near(first[2], 0.5));
  CHECK(shares(config, fleet, kStart, {DeploymentIndex{1}, DeploymentIndex{2}})[0] == kDraws);
  CHECK(shares(config, fleet, kStart,
               {DeploymentIndex{0}, DeploymentIndex{1}, DeploymentIndex{2}})[3] == kDraws);
}

TEST_CASE("excluded deployments are not picked") {
  const Config config = group_of(2);
  LocalFleet fleet(config, 7);
  CHECK(shares(config, fleet, kStart, {DeploymentIndex{0}})[1] == kDraws);
  CHECK(shares(config, fleet, kStart, {DeploymentIndex{0}, DeploymentIndex{1}}) ==
        std::array<unsigned, 8>{});
}

TEST_CASE("a benched deployment is not picked, and a tier of benched ones gives way") {
  Config config = group_of(2);
  config.deployments[0].order = 1;
  LocalFleet fleet(config, 7);
  bench(fleet, DeploymentIndex{0}, seconds(10), kStart);
  CHECK(shares(config, fleet, kStart + seconds(1))[1] == kDraws);
}

TEST_CASE("a half-open deployment has its ordinary chance until its probe is out") {
  const Config config = group_of(2);
  LocalFleet fleet(config, 7);
  bench(fleet, DeploymentIndex{0}, seconds(10), kStart);
  const TimePoint later = kStart + seconds(11);
  CHECK(near(shares(config, fleet, later)[0], 0.5));
  REQUIRE(fleet.begin(DeploymentIndex{0}, later, DeploymentHealth::Force::no));
  CHECK(shares(config, fleet, later)[1] == kDraws);
}

TEST_CASE("a deployment that does not offer the endpoint is not picked") {
  Config config = group_of(2);
  config.deployments[0].targets[static_cast<std::size_t>(Endpoint::embeddings)].clear();
  LocalFleet fleet(config, 7);
  for (int i = 0; i < 50; ++i) {
    CHECK(pick(config, fleet, std::nullopt, Endpoint::embeddings) == DeploymentIndex{1});
  }
  config.deployments[1].targets[static_cast<std::size_t>(Endpoint::embeddings)].clear();
  CHECK_FALSE(pick(config, fleet, std::nullopt, Endpoint::embeddings));
}

TEST_CASE("after a context-window error only a larger declared window is picked") {
  Config config = group_of(4);
  config.deployments[0].max_input_tokens = 8000;
  config.deployments[1].max_input_tokens = 8001;
  config.deployments[2].max_input_tokens = 4000;
  LocalFleet fleet(config, 7);
  for (int i = 0; i < 50; ++i) CHECK(pick(config, fleet, 8000) == DeploymentIndex{1});
  CHECK_FALSE(pick(config, fleet, 8001));
}

}  // namespace
}  // namespace spillway
