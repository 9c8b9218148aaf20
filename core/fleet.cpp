#include "core/fleet.hpp"

#include <utility>

namespace spillway {

LocalFleet::LocalFleet(const Config& config, std::uint64_t seed)
    : config_(config),
      deployments_(config.deployments.size()),
      budgets_(config.groups.size(), RetryBudget(config.router)),
      random_(seed) {}

LocalFleet::LocalFleet(const Config& config, std::vector<LiveDeployment> deployments,
                       std::vector<RetryBudget> budgets, std::uint64_t seed)
    : config_(config),
      deployments_(std::move(deployments)),
      budgets_(std::move(budgets)),
      random_(seed) {}

Availability LocalFleet::availability(DeploymentIndex deployment, TimePoint now) {
  return at(deployment).availability(limits(deployment), now);
}

RecentOutcomes LocalFleet::recent(DeploymentIndex deployment, TimePoint now) {
  return at(deployment).recent(now);
}

Load LocalFleet::load(DeploymentIndex deployment, Delivery delivery, TimePoint now) {
  return at(deployment).load(delivery, limits(deployment), config_.router.latency_ttl, now);
}

double LocalFleet::figure(DeploymentIndex deployment, Figure figure, Delivery delivery,
                          TimePoint now) {
  return at(deployment).figure(figure, delivery, config_.router.latency_ttl, now);
}

std::optional<Permit> LocalFleet::begin(DeploymentIndex deployment, TimePoint now,
                                        DeploymentHealth::Force force, std::uint64_t tokens) {
  return at(deployment).begin(deployment, limits(deployment), tokens, now, force);
}

HealthChange LocalFleet::succeeded(const Permit& permit, TimePoint now) {
  return at(permit.deployment).succeeded(permit, now);
}

HealthChange LocalFleet::failed(const Permit& permit, const Failure& failure, Benching benching,
                                TimePoint now) {
  const CooldownRules& rules = config_.at(permit.deployment).cooldown;
  return at(permit.deployment).failed(permit, failure, rules, benching, random_, now);
}

void LocalFleet::give_back(const Permit& permit) {
  at(permit.deployment).give_back(permit);
}

void LocalFleet::end(const Permit& permit) {
  at(permit.deployment).end(permit);
}

void LocalFleet::first_token(const Permit& permit, Delivery delivery, TimePoint now) {
  at(permit.deployment).first_token(permit, delivery, now);
}

void LocalFleet::silent_so_far(const Permit& permit, Delivery delivery, TimePoint now) {
  at(permit.deployment).silent_so_far(permit, delivery, now);
}

void LocalFleet::used_tokens(DeploymentIndex deployment, std::uint64_t tokens, TimePoint now) {
  at(deployment).used_tokens(tokens, limits(deployment), now);
}

void LocalFleet::told_quotas(DeploymentIndex deployment, const Quotas& quotas, TimePoint now) {
  at(deployment).told_quotas(quotas, now);
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

bool LocalFleet::draw_hedge(GroupIndex group, TimePoint now) {
  return budgets_[group.value].draw_hedge(now);
}

std::optional<Duration> LocalFleet::p95_time(DeploymentIndex deployment, Delivery delivery) {
  return at(deployment).p95_time(delivery);
}

const Lottery* LocalFleet::lottery(GroupIndex group) {
  return &lotteries_.try_emplace(group, config_, group).first->second;
}

}  // namespace spillway
