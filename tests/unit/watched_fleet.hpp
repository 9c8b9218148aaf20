// A fleet for simulations that checks every use that is made of it.
#pragma once

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <map>
#include <vector>

#include "core/fleet.hpp"

namespace spillway::testing {

class WatchedFleet final : public Fleet {
 public:
  WatchedFleet(const Config& config, std::uint64_t seed)
      : config_(config),
        fleet_(config, seed),
        held_(config.groups.size()),
        requests_(config.groups.size()) {}

  Availability availability(DeploymentIndex deployment, TimePoint now) override {
    return fleet_.availability(deployment, now);
  }
  std::optional<Permit> begin(DeploymentIndex deployment, TimePoint now,
                              DeploymentHealth::Force force) override {
    const Availability before = fleet_.availability(deployment, now);
    const auto permit = fleet_.begin(deployment, now, force);
    if (!permit) return permit;
    const bool benched = before.state != HealthState::closed;
    if (benched && !permit->probe) {
      // The last resort: forced, through the breaker only, within the budget.
      REQUIRE(force == DeploymentHealth::Force::yes);
      REQUIRE((before.state == HealthState::breaker_open || judged_by_breaker(before.cause)));
      REQUIRE(held_[config_.at(deployment).group.value] > 0);
      ++last_resorts;
    }
    if (permit->probe) {
      REQUIRE(now >= before.until);
      REQUIRE_FALSE(before.probing);
      ++probes;
    }
    ++open_[deployment.value];
    return permit;
  }
  HealthChange succeeded(const Permit& permit, TimePoint now) override {
    return fleet_.succeeded(permit, now);
  }
  HealthChange failed(const Permit& permit, const Failure& failure, Benching benching,
                      TimePoint now) override {
    const TimePoint until = fleet_.availability(permit.deployment, now).until;
    const HealthChange change = fleet_.failed(permit, failure, benching, now);
    const Availability after = fleet_.availability(permit.deployment, now);
    if (until > now && after.state != HealthState::closed) REQUIRE(after.until >= until);
    return change;
  }
  void give_back(const Permit& permit) override { fleet_.give_back(permit); }
  void end(const Permit& permit) override {
    REQUIRE(open_[permit.deployment.value] > 0);
    --open_[permit.deployment.value];
    fleet_.end(permit);
  }
  void count_request(GroupIndex group, TimePoint now) override {
    requests_[group.value].push_back(now);
    fleet_.count_request(group, now);
  }
  bool draw_retry(GroupIndex group, TimePoint now) override {
    if (!fleet_.draw_retry(group, now)) return false;
    ++held_[group.value];
    unsigned recent = 0;
    for (const TimePoint at : requests_[group.value]) recent += now - at < seconds(10);
    REQUIRE(held_[group.value] <= std::max(3U, recent / 5));
    return true;
  }
  void give_back_retry(GroupIndex group) override {
    REQUIRE(held_[group.value] > 0);
    --held_[group.value];
    fleet_.give_back_retry(group);
  }
  Random& random() override { return fleet_.random(); }

  void check_all_returned(TimePoint now) {
    for (const auto& [deployment, open] : open_) {
      REQUIRE(open == 0);
      REQUIRE(fleet_.availability(DeploymentIndex{deployment}, now).in_flight == 0);
      REQUIRE_FALSE(fleet_.availability(DeploymentIndex{deployment}, now).probing);
    }
    for (const unsigned held : held_) REQUIRE(held == 0);
  }

  unsigned probes = 0;
  unsigned last_resorts = 0;

 private:
  const Config& config_;
  LocalFleet fleet_;
  std::map<std::uint32_t, unsigned> open_;
  std::vector<unsigned> held_;
  std::vector<std::vector<TimePoint>> requests_;
};

}  // namespace spillway::testing
