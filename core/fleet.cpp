#include "core/fleet.hpp"

namespace spillway {

LocalFleet::LocalFleet(const Config& config, std::uint64_t seed)
    : config_(config),
      health_(config.deployments.size()),
      budgets_(config.groups.size(), RetryBudget(config.router.retry_budget_share)),
      random_(seed) {}

Availability LocalFleet::availability(DeploymentIndex deployment, TimePoint now) {
  return health_[deployment.value].availability(now);
}

RecentOutcomes LocalFleet::recent(DeploymentIndex deployment, TimePoint now) {
  return health_[deployment.value].recent(now);
}

std::optional<Permit> LocalFleet::begin(DeploymentIndex deployment, TimePoint now,
                                        DeploymentHealth::Force force) {
  return health_[deployment.value].begin(deployment, now, force);
}

HealthChange LocalFleet::succeeded(const Permit& permit, TimePoint now) {
  return health_[permit.deployment.value].record_success(permit, now);
}

HealthChange LocalFleet::failed(const Permit& permit, const Failure& failure, Benching benching,
                                TimePoint now) {
  const CooldownRules& rules = config_.at(permit.deployment).cooldown;
  return health_[permit.deployment.value].record_failure(permit, failure, rules, benching, random_,
                                                         now);
}

void LocalFleet::give_back(const Permit& permit) {
  health_[permit.deployment.value].give_back(permit);
}

void LocalFleet::end(const Permit& permit) {
  health_[permit.deployment.value].end();
}

void LocalFleet::count_request(GroupIndex group, TimePoint now) {
  budgets_[group.value].count_request(now);
}

bool LocalFleet::draw_retry(GroupIndex group, TimePoint now) {
  return budgets_[group.value].draw(now);
}

void LocalFleet::give_back_retry(GroupIndex group) {
  budgets_[group.value].give_back();
}

}  // namespace spillway
