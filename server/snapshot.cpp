#include "server/snapshot.hpp"

#include <random>
#include <utility>

#include "core/bounds.hpp"
#include "core/prefetch.hpp"

namespace spillway::server {

namespace {

using DeploymentStates = std::unordered_map<std::string, std::shared_ptr<DeploymentState>>;
using GroupStates = std::unordered_map<std::string, std::shared_ptr<GroupState>>;

std::uint64_t random_seed() {
  std::random_device device;
  return std::uint64_t{device()} << 32 | device();
}

}  // namespace

SnapshotPtr make_snapshot(Config config, const SnapshotPtr& previous, ChangeListener* listener) {
  DeploymentStates old_deployments;
  GroupStates old_groups;
  if (previous) {
    for (std::size_t i = 0; i < previous->deployments.size(); ++i)
      old_deployments.emplace(previous->config.deployments[i].id, previous->deployments[i]);
    for (std::size_t i = 0; i < previous->groups.size(); ++i)
      old_groups.emplace(previous->config.groups[i].name, previous->groups[i].state);
  }
  auto snapshot = std::make_shared<Snapshot>(std::move(config));
  for (const Deployment& deployment : snapshot->config.deployments) {
    const auto old = old_deployments.find(deployment.id);
    snapshot->deployments.push_back(
        old != old_deployments.end() ? old->second : std::make_shared<DeploymentState>());
  }
  const Config& used = snapshot->config;
  snapshot->groups.reserve(used.groups.size());
  for (std::uint32_t i = 0; i < used.groups.size(); ++i) {
    const auto old = old_groups.find(used.groups[i].name);
    auto state = old != old_groups.end() ? old->second : std::make_shared<GroupState>(used.router);
    if (old != old_groups.end()) {
      const std::lock_guard lock(state->guard);
      state->budget.use(used.router);
    }
    snapshot->groups.push_back({std::move(state), Lottery(used, GroupIndex{i})});
  }
  snapshot->affinity =
      previous ? previous->affinity : std::make_shared<AffinityState>(random_seed());
  for (std::uint32_t i = 0; i < used.deployments.size(); ++i)
    snapshot->by_id.emplace(used.deployments[i].id, DeploymentIndex{i});
  snapshot->listener = listener;
  return snapshot;
}

LocalFleet copy_of(const Snapshot& snapshot, std::uint64_t seed) {
  std::vector<LiveDeployment> deployments;
  std::vector<RetryBudget> budgets;
  for (const auto& state : snapshot.deployments) {
    const std::lock_guard lock(state->guard);
    deployments.push_back(state->live);
  }
  for (const auto& [state, lottery] : snapshot.groups) {
    const std::lock_guard lock(state->guard);
    budgets.push_back(state->budget);
  }
  return LocalFleet(snapshot.config, std::move(deployments), std::move(budgets), seed);
}

Availability WorkerFleet::availability(DeploymentIndex deployment, TimePoint now) {
  DeploymentState& state = *snapshot_.deployments[deployment.value];
  state.live.prefetch();
  std::unique_lock lock(state.guard);
  const Availability availability = state.live.availability(limits(deployment), now, looking_);
  const bool news = state.live.lease().take_news();
  lock.unlock();
  if (news) tell_lease(deployment);
  return availability;
}

RecentOutcomes WorkerFleet::recent(DeploymentIndex deployment, TimePoint now) {
  DeploymentState& state = *snapshot_.deployments[deployment.value];
  const std::lock_guard lock(state.guard);
  return state.live.recent(now);
}

Load WorkerFleet::load(DeploymentIndex deployment, Delivery delivery, TimePoint now) {
  DeploymentState& state = *snapshot_.deployments[deployment.value];
  const std::lock_guard lock(state.guard);
  return state.live.load(delivery, limits(deployment), snapshot_.config.router.latency_ttl, now);
}

double WorkerFleet::figure(DeploymentIndex deployment, Figure figure, Delivery delivery,
                           TimePoint now) {
  DeploymentState& state = *snapshot_.deployments[deployment.value];
  const std::lock_guard lock(state.guard);
  return state.live.figure(figure, delivery, snapshot_.config.router.latency_ttl, now);
}

std::optional<double> WorkerFleet::figure_if_callable(DeploymentIndex deployment, Figure figure,
                                                      Delivery delivery, TimePoint now) {
  DeploymentState& state = *snapshot_.deployments[deployment.value];
  std::optional<double> found;
  std::unique_lock lock(state.guard);
  if (state.live.availability(limits(deployment), now, looking_).callable)
    found = state.live.figure(figure, delivery, snapshot_.config.router.latency_ttl, now);
  const bool news = state.live.lease().take_news();
  lock.unlock();
  if (news) tell_lease(deployment);
  return found;
}

void WorkerFleet::tell_bench(DeploymentIndex deployment) {
  if (!snapshot_.listener) return;
  snapshot_.deployments[deployment.value]->bench_changed.store(true);
  snapshot_.listener->changed();
}

void WorkerFleet::tell_lease(DeploymentIndex deployment) {
  if (!snapshot_.listener) return;
  snapshot_.deployments[deployment.value]->lease_changed.store(true);
  snapshot_.listener->changed();
}

std::optional<Permit> WorkerFleet::begin(DeploymentIndex deployment, TimePoint now,
                                         DeploymentHealth::Force force, std::uint64_t tokens) {
  DeploymentState& state = *snapshot_.deployments[deployment.value];
  std::unique_lock lock(state.guard);
  const std::optional<Permit> permit =
      state.live.begin(deployment, limits(deployment), tokens, now, force);
  const bool news = state.live.lease().take_news();
  lock.unlock();
  if (permit && permit->probe) tell_bench(deployment);
  if (news) tell_lease(deployment);
  return permit;
}

HealthChange WorkerFleet::succeeded(const Permit& permit, TimePoint now) {
  DeploymentState& state = *snapshot_.deployments[permit.deployment.value];
  std::unique_lock lock(state.guard);
  const HealthChange change = state.live.succeeded(permit, now);
  lock.unlock();
  if (change != HealthChange::none || permit.probe) tell_bench(permit.deployment);
  return change;
}

HealthChange WorkerFleet::failed(const Permit& permit, const Failure& failure, Benching benching,
                                 TimePoint now) {
  const CooldownRules& rules = snapshot_.config.at(permit.deployment).cooldown;
  DeploymentState& state = *snapshot_.deployments[permit.deployment.value];
  std::unique_lock lock(state.guard);
  const HealthChange change = state.live.failed(permit, failure, rules, benching, random_, now);
  lock.unlock();
  if (change != HealthChange::none || permit.probe) tell_bench(permit.deployment);
  return change;
}

void WorkerFleet::give_back(const Permit& permit) {
  DeploymentState& state = *snapshot_.deployments[permit.deployment.value];
  std::unique_lock lock(state.guard);
  state.live.give_back(permit);
  lock.unlock();
  if (permit.probe) tell_bench(permit.deployment);
}

void WorkerFleet::end(const Permit& permit) {
  DeploymentState& state = *snapshot_.deployments[permit.deployment.value];
  const std::lock_guard lock(state.guard);
  state.live.end(permit);
}

void WorkerFleet::first_token(const Permit& permit, Delivery delivery, TimePoint now) {
  DeploymentState& state = *snapshot_.deployments[permit.deployment.value];
  const std::lock_guard lock(state.guard);
  state.live.first_token(permit, delivery, now);
}

void WorkerFleet::silent_so_far(const Permit& permit, Delivery delivery, TimePoint now) {
  DeploymentState& state = *snapshot_.deployments[permit.deployment.value];
  const std::lock_guard lock(state.guard);
  state.live.silent_so_far(permit, delivery, now);
}

void WorkerFleet::used_tokens(DeploymentIndex deployment, std::uint64_t tokens, TimePoint now) {
  DeploymentState& state = *snapshot_.deployments[deployment.value];
  std::unique_lock lock(state.guard);
  state.live.used_tokens(tokens, limits(deployment), now);
  const bool news = state.live.lease().take_news();
  lock.unlock();
  if (news) tell_lease(deployment);
}

void WorkerFleet::told_quotas(DeploymentIndex deployment, const Quotas& quotas, TimePoint now) {
  if (!quotas.requests && !quotas.tokens) return;
  DeploymentState& state = *snapshot_.deployments[deployment.value];
  const std::lock_guard lock(state.guard);
  state.live.told_quotas(quotas, now);
}

void WorkerFleet::count_request(GroupIndex group, TimePoint now) {
  GroupState& state = *snapshot_.groups[group.value].state;
  prefetch(&state, &state + 1);
  const std::lock_guard lock(state.guard);
  state.budget.count_request(now);
}

bool WorkerFleet::draw_retry(GroupIndex group, TimePoint now) {
  GroupState& state = *snapshot_.groups[group.value].state;
  const std::lock_guard lock(state.guard);
  return state.budget.draw(now);
}

void WorkerFleet::give_back_retry(GroupIndex group) {
  GroupState& state = *snapshot_.groups[group.value].state;
  const std::lock_guard lock(state.guard);
  state.budget.give_back();
}

bool WorkerFleet::draw_hedge(GroupIndex group, TimePoint now) {
  GroupState& state = *snapshot_.groups[group.value].state;
  const std::lock_guard lock(state.guard);
  return state.budget.draw_hedge(now);
}

std::optional<Duration> WorkerFleet::p95_time(DeploymentIndex deployment, Delivery delivery) {
  DeploymentState& state = *snapshot_.deployments[deployment.value];
  const std::lock_guard lock(state.guard);
  return state.live.p95_time(delivery);
}

std::optional<DeploymentIndex> WorkerFleet::pinned(GroupIndex group, std::uint64_t affinity,
                                                   TimePoint now) {
  const Config& config = snapshot_.config;
  std::optional<std::string> id;
  {
    const std::lock_guard lock(snapshot_.affinity->guard);
    id = snapshot_.affinity->table.find(affinity_key(config.at(group).name, affinity), now);
  }
  if (!id) return std::nullopt;
  const auto found = snapshot_.by_id.find(*id);
  if (found == snapshot_.by_id.end()) return std::nullopt;  // it has gone with a reload
  const Deployment& deployment = config.at(found->second);
  return deployment.usable() && deployment.group == group ? std::optional(found->second)
                                                          : std::nullopt;
}

void WorkerFleet::pin(GroupIndex group, std::uint64_t affinity, DeploymentIndex deployment,
                      TimePoint now) {
  const Config& config = snapshot_.config;
  const std::uint64_t key = affinity_key(config.at(group).name, affinity);
  const std::string& id = config.at(deployment).id;
  const Duration ttl = config.router.affinity.ttl;
  AffinityState& state = *snapshot_.affinity;
  std::unique_lock lock(state.guard);
  const bool worth_telling = state.table.remember(key, id, ttl, now);
  if (!worth_telling || !snapshot_.listener || state.news.size() >= bounds::kAffinityNews) return;
  state.news.push_back({key, ttl, id});
  lock.unlock();
  snapshot_.listener->changed();
}

}  // namespace spillway::server
