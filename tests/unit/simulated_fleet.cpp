#include "tests/unit/simulated_fleet.hpp"

#include <algorithm>

namespace spillway::simulation {

namespace {

// Nothing is benched where there is nowhere else to go.
bool alone(const ModelGroup& group) {
  const bool windows = group.context_window_fallbacks && !group.context_window_fallbacks->empty();
  return group.deployments.size() == 1 && group.fallbacks.empty() &&
         group.content_policy_fallbacks.empty() && !windows;
}

}  // namespace

SimulatedFleet::SimulatedFleet(const Config& config, std::uint64_t seed)
    : config_(config),
      fleet_(config, seed),
      drawn_(config.groups.size()),
      requests_(config.groups.size()) {
  for (const Deployment& deployment : config.deployments) {
    books_.emplace_back(deployment.cooldown, alone(config.at(deployment.group)));
  }
}

SimulatedFleet::Step& SimulatedFleet::begin_step(std::uint32_t request) {
  step_.request = request;
  step_.called.reset();
  step_.forced = step_.probe = false;
  step_.refused.clear();
  step_.counted.clear();
  return step_;
}

SimulatedFleet::Held& SimulatedFleet::held(const Permit& permit) {
  const auto found = tickets_.find(step_.request);
  rule(found != tickets_.end() && found->second.deployment == permit.deployment,
       "only a permit that is held is used");
  return found->second;
}

bool SimulatedFleet::could_be_called(DeploymentIndex deployment, TimePoint now) const {
  if (step_.called == deployment) return !step_.forced;
  return book(deployment).callable(now);
}

void SimulatedFleet::check_all_returned(TimePoint now) {
  rule(tickets_.empty() && retries_.empty(), "every permit and every retry is returned");
  for (std::uint32_t i = 0; i < books_.size(); ++i) {
    const Availability seen = fleet_.availability(DeploymentIndex{i}, now);
    rule(seen.in_flight == 0 && books_[i].in_flight() == 0, "in-flight counts return to zero");
    rule(!seen.probing && !books_[i].probing(), "every probe's place is free at the end");
  }
  rule(std::ranges::count(drawn_, 0U) == std::ssize(drawn_), "every retry budget is whole again");
}

Availability SimulatedFleet::availability(DeploymentIndex deployment, TimePoint now) {
  return fleet_.availability(deployment, now);
}

std::optional<Permit> SimulatedFleet::begin(DeploymentIndex deployment, TimePoint now,
                                            DeploymentHealth::Force force, std::uint64_t tokens) {
  HealthBook& book = books_[deployment.value];
  const bool callable = book.callable(now);
  const auto permit = fleet_.begin(deployment, now, force, tokens);
  if (!permit) {
    rule(!callable && force == DeploymentHealth::Force::no, "who may be called gets a permit");
    return permit;
  }
  rule(!tickets_.contains(step_.request), "a request makes one call at a time");
  rule(callable || force == DeploymentHealth::Force::yes,
       "a deployment in cooldown is called by its one probe only");
  rule(permit->probe == (callable && book.benched()), "after a bench one call probes");
  step_.called = deployment;
  step_.forced = !callable;
  step_.probe = permit->probe;
  probes += permit->probe;
  last_resorts += !callable;
  tickets_.emplace(step_.request, Held{deployment, book.begin(permit->probe)});
  rule(fleet_.availability(deployment, now).in_flight == book.in_flight(),
       "calls in flight are counted");
  return permit;
}

HealthChange SimulatedFleet::succeeded(const Permit& permit, TimePoint now) {
  Held& mine = held(permit);
  rule(!mine.judged, "a call has one result");
  mine.judged = true;
  const HealthChange change = fleet_.succeeded(permit, now);
  book(permit).succeeded(mine.ticket, change, fleet_.availability(permit.deployment, now), now);
  return change;
}

HealthChange SimulatedFleet::failed(const Permit& permit, const Failure& failure, Benching benching,
                                    TimePoint now) {
  // A stream that broke after its first content proved a probe healthy has two results.
  Held& mine = held(permit);
  mine.judged = true;
  const HealthChange change = fleet_.failed(permit, failure, benching, now);
  book(permit).failed(mine.ticket, failure, change, fleet_.availability(permit.deployment, now),
                      now);
  return change;
}

// What a loop's destructor calls must not throw: what is wrong is kept for the end of the step.
void SimulatedFleet::note(bool holds, const char* text) {
  if (!holds && !broken_) broken_ = text;
}

void SimulatedFleet::end_step() {
  if (broken_) throw RuleBroken(broken_);
}

void SimulatedFleet::give_back(const Permit& permit) {
  const auto mine = tickets_.find(step_.request);
  note(mine != tickets_.end() && !mine->second.judged, "a permit is given back or used, not both");
  fleet_.give_back(permit);
  if (mine == tickets_.end()) return;
  mine->second.judged = true;
  book(permit).give_back(mine->second.ticket);
}

void SimulatedFleet::end(const Permit& permit) {
  const auto mine = tickets_.find(step_.request);
  note(mine != tickets_.end() && mine->second.judged,
       "a call ends with a result, or gives its permit back");
  fleet_.end(permit);
  if (mine == tickets_.end()) return;
  tickets_.erase(mine);
  book(permit).end();
}

void SimulatedFleet::count_request(GroupIndex group, TimePoint now) {
  step_.counted.push_back(group);
  requests_[group.value].push_back(now);
  fleet_.count_request(group, now);
}

bool SimulatedFleet::draw_retry(GroupIndex group, TimePoint now) {
  rule(!retries_.contains(step_.request), "a request holds one retry at a time");
  auto& times = requests_[group.value];
  while (!times.empty() && now - times.front() >= seconds(10)) times.pop_front();
  const auto within = [&](Duration age) {
    const auto recent = std::ranges::count_if(times, [&](auto at) { return now - at <= age; });
    return std::max(3.0, static_cast<double>(recent) * config_.router.retry_budget_share);
  };
  const double wanted = drawn_[group.value] + 1;
  const bool drawn = fleet_.draw_retry(group, now);
  if (!drawn) {
    rule(wanted > within(seconds(9)), "a retry within the budget is not refused");
    step_.refused.push_back(group);
    ++refusals;
    return false;
  }
  rule(wanted <= within(seconds(10)), "retries stay within the group's budget");
  ++drawn_[group.value];
  retries_.emplace(step_.request, group);
  return true;
}

void SimulatedFleet::give_back_retry(GroupIndex group) {
  const auto mine = retries_.find(step_.request);
  note(mine != retries_.end() && mine->second == group, "only a retry that is held is returned");
  fleet_.give_back_retry(group);
  if (mine == retries_.end()) return;
  retries_.erase(mine);
  --drawn_[group.value];
}

}  // namespace spillway::simulation
