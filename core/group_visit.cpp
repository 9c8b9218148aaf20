#include "core/group_visit.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "core/bounds.hpp"
#include "core/recourse.hpp"

namespace spillway {

Benching GroupVisit::benching() const {
  const ModelGroup& group = configured();
  const bool alone = group.deployments.size() == 1 && group.fallbacks.empty() &&
                     group.content_policy_fallbacks.empty() &&
                     (!group.context_window_fallbacks || group.context_window_fallbacks->empty());
  return alone ? Benching::withheld : Benching::allowed;
}

const GroupVisit::FailedDeployment* GroupVisit::find(DeploymentIndex deployment) const {
  const auto found = std::ranges::find(failed_, deployment, &FailedDeployment::deployment);
  return found == failed_.end() ? nullptr : &*found;
}

void GroupVisit::note_call(DeploymentIndex deployment) {
  ++calls_;
  const auto found = std::ranges::find(failed_, deployment, &FailedDeployment::deployment);
  if (found == failed_.end()) return;
  ++found->asked_again;
  ++retries_;
}

void GroupVisit::note_failure(DeploymentIndex deployment, const Failure& failure, TimePoint now) {
  const Elsewhere elsewhere = recourse(failure).elsewhere;
  content_rejected_ |= elsewhere == Elsewhere::content_policy_fallbacks;
  window_exceeded_ |= elsewhere == Elsewhere::larger_window;

  auto found = std::ranges::find(failed_, deployment, &FailedDeployment::deployment);
  if (found == failed_.end()) {
    failed_.push_back({.deployment = deployment, .last = {}});
    found = std::prev(failed_.end());
  }
  const Duration pause =
      failure.hint ? failure.hint->delay : backoff(found->asked_again, fleet_->random());
  found->last = failure;
  found->again_at = now + std::max(pause, config_->router.retry_after);
}

bool GroupVisit::offers(DeploymentIndex deployment) const {
  return !config_->at(deployment).targets[static_cast<std::size_t>(endpoint_)].empty();
}

// The largest window that was too small. A deployment that declares none cannot be compared: then
// no window is known to be larger.
std::optional<std::uint64_t> GroupVisit::exceeded_window() const {
  if (!window_exceeded_) return std::nullopt;
  std::uint64_t largest = 0;
  for (const FailedDeployment& failed : failed_) {
    if (failed.last.error_class != ErrorClass::context_window_exceeded) continue;
    largest = std::max(largest,
                       config_->at(failed.deployment)
                           .max_input_tokens.value_or(std::numeric_limits<std::uint64_t>::max()));
  }
  return largest;
}

bool GroupVisit::fits(DeploymentIndex deployment) const {
  if (content_rejected_ || !offers(deployment)) return false;
  const auto exceeded = exceeded_window();
  const auto& declared = config_->at(deployment).max_input_tokens;
  return !exceeded || (declared && *declared > *exceeded);
}

std::optional<DeploymentIndex> GroupVisit::pick_fresh(std::span<const DeploymentIndex> refused,
                                                      TimePoint now) {
  if (content_rejected_) return std::nullopt;
  std::vector<DeploymentIndex> excluded(refused.begin(), refused.end());
  for (const FailedDeployment& failed : failed_) excluded.push_back(failed.deployment);
  const PickContext context{*config_, *fleet_, endpoint_, excluded, exceeded_window(), delivery_};
  return pick_deployment(context, model_.group, now);
}

bool GroupVisit::may_ask_again(const FailedDeployment& failed) const {
  if (retries_forgone_) return false;
  const unsigned configured_retries =
      config_->at(failed.deployment).num_retries.value_or(configured().num_retries);
  if (retries_ >= std::min(configured_retries, bounds::kAskAgain)) return false;
  switch (recourse(failed.last).same) {
    case AskAgain::never:
      return false;
    case AskAgain::once:
      return failed.asked_again == 0;
    case AskAgain::while_retries_last:
      return true;
  }
  return false;
}

std::optional<Prospect> GroupVisit::prospect_of(DeploymentIndex deployment, TimePoint now) {
  const FailedDeployment* failed = find(deployment);
  if (!fits(deployment) || (failed && !may_ask_again(*failed))) return std::nullopt;
  const Availability availability = fleet_->availability(deployment, now);

  Prospect prospect{.deployment = deployment, .at = now, .again = failed != nullptr};
  const bool benched =
      availability.state == HealthState::cooling || availability.state == HealthState::breaker_open;
  if (benched) {
    prospect.at = availability.until;
    prospect.holdup = availability.named_by_upstream               ? Holdup::named
                      : availability.state == HealthState::cooling ? Holdup::cooldown
                                                                   : Holdup::breaker;
  } else if (availability.limited_until > now) {
    prospect.holdup = Holdup::cooldown;
  } else if (availability.full) {
    prospect.at = now + bounds::kProbePoll;
    prospect.holdup = Holdup::full;
  } else if (!failed || !availability.callable) {
    // A probe is under way, or another worker was quicker to take a free place.
    prospect.at = now + bounds::kProbePoll;
    prospect.holdup = Holdup::probe;
  } else {
    prospect.holdup = failed->last.hint ? Holdup::named : Holdup::backoff;
  }
  prospect.at = std::max(prospect.at, availability.limited_until);
  if (failed) prospect.at = std::max(prospect.at, failed->again_at);
  return prospect;
}

std::vector<Prospect> GroupVisit::prospects(TimePoint now) {
  std::vector<Prospect> result;
  for (const DeploymentIndex deployment : configured().deployments) {
    if (const auto prospect = prospect_of(deployment, now)) result.push_back(*prospect);
  }
  return result;
}

std::optional<DeploymentIndex> GroupVisit::least_recently_failed(TimePoint now) {
  std::optional<DeploymentIndex> found;
  TimePoint oldest = TimePoint::max();
  for (const DeploymentIndex deployment : configured().deployments) {
    if (!fits(deployment) || has_failed(deployment)) continue;
    const Availability availability = fleet_->availability(deployment, now);
    const bool broken = availability.state == HealthState::breaker_open ||
                        (availability.state == HealthState::half_open && availability.probing &&
                         judged_by_breaker(availability.cause));
    const bool limited = availability.full || availability.limited_until > now;
    if (!broken || limited || availability.last_failure >= oldest) continue;
    found = deployment;
    oldest = availability.last_failure;
  }
  return found;
}

std::span<const ModelMatch> GroupVisit::fallbacks() const {
  const ModelGroup& group = configured();
  if (content_rejected_) return group.content_policy_fallbacks;
  if (window_exceeded_ && group.context_window_fallbacks) return *group.context_window_fallbacks;
  return group.fallbacks;
}

std::optional<TimePoint> GroupVisit::recovery(TimePoint now) {
  std::optional<TimePoint> soonest;
  for (const DeploymentIndex deployment : configured().deployments) {
    if (!offers(deployment)) continue;
    const FailedDeployment* failed = find(deployment);
    const Availability availability = fleet_->availability(deployment, now);
    TimePoint serves_again = std::max(now, availability.limited_until);
    if (availability.state != HealthState::closed)
      serves_again = std::max(serves_again, availability.until);
    if (failed && failed->last.hint) serves_again = std::max(serves_again, failed->again_at);
    if (serves_again <= now) return std::nullopt;
    soonest = std::min(soonest.value_or(serves_again), serves_again);
  }
  return soonest;
}

namespace {

Failure gateway_failure(ErrorClass error_class, std::string message) {
  Failure failure;
  failure.error_class = error_class;
  failure.status = default_status(error_class);
  failure.type = openai_type(error_class);
  failure.detail = message;
  failure.message = std::move(message);
  return failure;
}

}  // namespace

Failure GroupVisit::refusal(std::optional<Duration> recovery, TimePoint now) {
  const ModelGroup& group = configured();
  const std::string model = substitute(group.name, model_.captures);
  if (group.deployments.empty()) {
    const std::string reason =
        group.left_out.empty() ? "it has none" : config_->at(group.left_out.front()).unusable;
    return gateway_failure(
        ErrorClass::unavailable,
        fmt::format("No deployment of model '{}' can be used: {}.", model, reason));
  }
  if (std::ranges::none_of(group.deployments, [this](auto d) { return offers(d); })) {
    Failure failure = gateway_failure(
        ErrorClass::not_found,
        fmt::format("Model '{}' does not offer /v1{}.", model, traits(endpoint_).path));
    failure.param = "model";
    return failure;
  }
  bool rate_limited = false;
  bool at_limit = false;  // one of our own: nobody is cooling because of it
  for (const DeploymentIndex deployment : group.deployments) {
    if (!offers(deployment)) continue;
    const Availability availability = fleet_->availability(deployment, now);
    at_limit |= availability.full || availability.limited_until > now;
    rate_limited |= availability.state != HealthState::closed &&
                    (availability.cause == ErrorClass::rate_limit ||
                     availability.cause == ErrorClass::quota_exhausted);
  }
  std::string message = fmt::format("All deployments of model '{}' are {}", model,
                                    at_limit ? "at their limit or cooling down" : "cooling down");
  if (recovery) {
    const auto whole = std::chrono::ceil<seconds>(*recovery).count();
    message += fmt::format("; retry in {} seconds", whole);
  }
  return gateway_failure(
      rate_limited || at_limit ? ErrorClass::rate_limit : ErrorClass::unavailable, message + ".");
}

}  // namespace spillway
