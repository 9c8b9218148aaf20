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
      requests_(config.groups.size()),
      hedges_earned_(config.groups.size()) {
  for (const Deployment& deployment : config.deployments) {
    books_.emplace_back(deployment.cooldown, alone(config.at(deployment.group)));
  }
}

SimulatedFleet::Step& SimulatedFleet::begin_step(std::uint32_t request) {
  step_.request = request;
  step_.called.reset();
  step_.forced = step_.probe = step_.hedge_refused = false;
  step_.refused.clear();
  step_.counted.clear();
  return step_;
}

SimulatedFleet::Held& SimulatedFleet::held(const Permit& permit) {
  const auto found = tickets_.find(ticket_of(permit));
  rule(found != tickets_.end(), "only a permit that is held is used");
  return found->second;
}

std::size_t SimulatedFleet::permits(std::uint32_t request) const {
  const auto first = tickets_.lower_bound({request, 0});
  return static_cast<std::size_t>(std::distance(first, tickets_.lower_bound({request + 1, 0})));
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
  rule(permits(step_.request) < 2, "a request makes two calls at a time at most");
  rule(callable || force == DeploymentHealth::Force::yes,
       "a deployment in cooldown is called by its one probe only");
  rule(permit->probe == (callable && book.benched()), "after a bench one call probes");
  step_.called = deployment;
  step_.forced = !callable;
  step_.probe = permit->probe;
  probes += permit->probe;
  last_resorts += !callable;
  const bool fresh =
      tickets_.emplace(ticket_of(*permit), Held{deployment, book.begin(permit->probe)}).second;
  rule(fresh, "a request calls a deployment once at a time");
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
  const auto mine = tickets_.find(ticket_of(permit));
  note(mine != tickets_.end() && !mine->second.judged, "a permit is given back or used, not both");
  fleet_.give_back(permit);
  if (mine == tickets_.end()) return;
  mine->second.judged = true;
  book(permit).give_back(mine->second.ticket);
}

void SimulatedFleet::end(const Permit& permit) {
  const auto mine = tickets_.find(ticket_of(permit));
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
  if (config_.router.hedge) {
    double& earned = hedges_earned_[group.value];
    earned = std::min(earned + config_.router.hedge->share, 10.0);
  }
  fleet_.count_request(group, now);
}

// How many may be held at once, counting the requests of the last `age`.
double SimulatedFleet::allowed(GroupIndex group, Duration age, TimePoint now) {
  auto& times = requests_[group.value];
  while (!times.empty() && now - times.front() >= seconds(10)) times.pop_front();
  const auto recent = std::ranges::count_if(times, [&](auto at) { return now - at <= age; });
  return std::max(3.0, static_cast<double>(recent) * config_.router.retry_budget_share);
}

void SimulatedFleet::note_drawn(GroupIndex group, TimePoint now) {
  rule(drawn_[group.value] + 1 <= allowed(group, seconds(10), now),
       "retries stay within the group's budget");
  ++drawn_[group.value];
  retries_.emplace(step_.request, group);
}

bool SimulatedFleet::draw_retry(GroupIndex group, TimePoint now) {
  rule(retries(step_.request) == 0, "a call holds one retry at a time");
  if (fleet_.draw_retry(group, now)) {
    note_drawn(group, now);
    return true;
  }
  rule(drawn_[group.value] + 1 > allowed(group, seconds(9), now),
       "a retry within the budget is not refused");
  step_.refused.push_back(group);
  ++refusals;
  return false;
}

bool SimulatedFleet::draw_hedge(GroupIndex group, TimePoint now) {
  rule(retries(step_.request) < 2, "a call holds one retry at a time");
  constexpr double kRounding = 1e-6;
  double& earned = hedges_earned_[group.value];
  if (fleet_.draw_hedge(group, now)) {
    rule(earned >= 1.0 - kRounding, "hedges stay within their share of the requests");
    earned -= 1.0;
    note_drawn(group, now);
    ++hedges;
    return true;
  }
  rule(earned < 1.0 + kRounding || drawn_[group.value] + 1 > allowed(group, seconds(9), now),
       "a hedge within its share and the budget is not refused");
  step_.hedge_refused = true;
  return false;
}

void SimulatedFleet::give_back_retry(GroupIndex group) {
  const auto [first, last] = retries_.equal_range(step_.request);
  const auto mine =
      std::find_if(first, last, [&](const auto& held) { return held.second == group; });
  note(mine != last, "only a retry that is held is returned");
  fleet_.give_back_retry(group);
  if (mine == last) return;
  retries_.erase(mine);
  --drawn_[group.value];
}

}  // namespace spillway::simulation
