#include "core/group_visit.hpp"

#include <algorithm>
#include <limits>

#include "core/bounds.hpp"
#include "core/recourse.hpp"

namespace spillway {

GroupVisit::GroupVisit(const Config& config, Fleet& fleet, ModelMatch model,
                       const RequestTraits& traits)
    : config_(&config),
      fleet_(&fleet),
      model_(std::move(model)),
      traits_(&traits),
      eligible_(config, model_, traits),
      window_exceeded_(eligible_.closed_to_request() == Eligibility::Closed::by_window) {}

Benching GroupVisit::benching() const {
  return spillway::benching(configured());
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
  Duration pause =
      failure.hint ? failure.hint->delay : backoff(found->asked_again, fleet_->random());
  // A hint that has proved too short once is not taken at its word again.
  if (failure.hint && found->asked_again > 0) pause = std::max(pause, bounds::kBackoffBase);
  found->last = failure;
  found->again_at = now + std::max(pause, config_->router.retry_after);
}

void GroupVisit::heed_failures_in(const GroupVisit& earlier) {
  if (group() != earlier.group() || model_.captures != earlier.model_.captures) return;
  for (const FailedDeployment& failed : earlier.failed_)
    if (!has_failed(failed.deployment)) failed_.push_back(failed);
  retries_ = std::max(retries_, earlier.retries_);
}

void GroupVisit::heed_windows_exceeded_in(const GroupVisit& earlier) {
  if (!earlier.window_exceeded_) return;
  for (const FailedDeployment& failed : earlier.failed_) {
    if (failed.last.error_class != ErrorClass::context_window_exceeded) continue;
    const Deployment& deployment = config_->at(failed.deployment);
    eligible_.bar_model(deployment, substitute(deployment.model, earlier.model_.captures),
                        model_.captures);
  }
  window_exceeded_ |= eligible_.closed_to_request() == Eligibility::Closed::by_window;
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
  if (content_rejected_ || !eligible_.admits(deployment)) return false;
  const auto exceeded = exceeded_window();
  const auto& declared = config_->at(deployment).max_input_tokens;
  return !exceeded || (declared && *declared > *exceeded);
}

std::optional<DeploymentIndex> GroupVisit::pick_fresh(std::span<const DeploymentIndex> refused,
                                                      TimePoint now) {
  if (content_rejected_ || closed_to_request()) return std::nullopt;
  std::vector<DeploymentIndex> excluded(refused.begin(), refused.end());
  for (const FailedDeployment& failed : failed_) excluded.push_back(failed.deployment);
  if (by_id()) {
    const DeploymentIndex only = *model_.deployment;
    const bool asked = std::ranges::find(excluded, only) != excluded.end();
    return asked || !fits(only) ? std::nullopt : std::optional(only);
  }
  using Reserve = PickContext::Reserve;
  const std::size_t without_outrun = excluded.size();
  if (outrun_) excluded.push_back(*outrun_);
  auto picked = pick(excluded, Reserve::left_alone, now);
  excluded.resize(without_outrun);
  if (!picked && outrun_) picked = pick(excluded, Reserve::left_alone, now);
  if (!picked && eligible_.has_reserve()) picked = pick(excluded, Reserve::asked, now);
  return picked;
}

bool GroupVisit::others_left(DeploymentIndex answering) const {
  if (content_rejected_ || closed_to_request()) return false;
  return std::ranges::any_of(eligible_.members(), [&](DeploymentIndex other) {
    return other != answering && fits(other) && !has_failed(other);
  });
}

std::optional<DeploymentIndex> GroupVisit::pick(std::span<const DeploymentIndex> excluded,
                                                PickContext::Reserve reserve, TimePoint now) {
  const Delivery delivery = traits_->streaming ? Delivery::streamed : Delivery::whole;
  const PickContext context{*config_,          *fleet_,  traits_->endpoint, excluded,
                            exceeded_window(), delivery, &eligible_,        reserve};
  const auto picked = pick_deployment(context, model_.group, now);
  if (!picked || !traits_->affinity) return picked;
  // Affinity chooses among equals: it does not outrank the operator's order.
  const auto pinned = fleet_->pinned(model_.group, *traits_->affinity, now);
  const bool usable = pinned && config_->at(*pinned).group == model_.group &&
                      config_->at(*pinned).order == config_->at(*picked).order &&
                      is_candidate(context, *pinned, now);
  return usable ? pinned : picked;
}

unsigned GroupVisit::retries_allowed(const FailedDeployment& failed) const {
  const auto& policy = configured().retry_policy[static_cast<std::size_t>(failed.last.error_class)];
  if (policy) return *policy;
  if (traits_->options.num_retries) return *traits_->options.num_retries;
  return config_->at(failed.deployment).num_retries.value_or(configured().num_retries);
}

bool GroupVisit::may_ask_again(const FailedDeployment& failed) const {
  if (retries_forgone_) return false;
  if (retries_ >= std::min(retries_allowed(failed), bounds::kAskAgain)) return false;
  // A policy that names the class decides how often, where asking again can help at all.
  const bool named =
      configured().retry_policy[static_cast<std::size_t>(failed.last.error_class)].has_value();
  switch (recourse(failed.last).same) {
    case AskAgain::never:
      return named && failed.last.error_class == ErrorClass::timeout &&
             !failed.last.client_deadline;
    case AskAgain::once:
      return named || failed.asked_again == 0;
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
  if (benched && !by_id()) {
    prospect.at = availability.until;
    prospect.holdup = availability.named_by_upstream               ? Holdup::named
                      : availability.state == HealthState::cooling ? Holdup::cooldown
                                                                   : Holdup::breaker;
  } else if (availability.limited_until > now) {
    prospect.holdup = Holdup::cooldown;
  } else if (availability.full) {
    prospect.at = now + bounds::kProbePoll;
    prospect.holdup = Holdup::full;
  } else if (!failed || (!availability.callable && !by_id())) {
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
  for (const DeploymentIndex deployment : eligible_.members()) {
    if (const auto prospect = prospect_of(deployment, now)) result.push_back(*prospect);
  }
  return result;
}

std::optional<DeploymentIndex> GroupVisit::least_recently_failed(TimePoint now) {
  std::optional<DeploymentIndex> found;
  TimePoint oldest = TimePoint::max();
  for (const DeploymentIndex deployment : eligible_.members()) {
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
  const RequestOptions& own = traits_->options;
  if (content_rejected_) {
    if (own.content_policy_fallbacks) return targets_of(*own.content_policy_fallbacks);
    return group.content_policy_fallbacks;
  }
  if (window_exceeded_) {
    if (own.context_window_fallbacks) return targets_of(*own.context_window_fallbacks);
    if (group.context_window_fallbacks) return *group.context_window_fallbacks;
  }
  if (own.fallbacks) return targets_of(*own.fallbacks);
  // A deployment called by its id is no longer its group's business.
  return by_id() ? config_->default_fallbacks : group.fallbacks;
}

std::span<const ModelMatch> GroupVisit::targets_of(const FallbackRules& rules) const {
  const FallbackRule* found = nullptr;
  for (const FallbackRule& rule : rules) {
    if (rule.of == model_) return rule.targets;
    if (!rule.of && found == nullptr) found = &rule;
  }
  return found == nullptr ? std::span<const ModelMatch>() : found->targets;
}

std::optional<TimePoint> GroupVisit::recovery(TimePoint now) {
  std::optional<TimePoint> soonest;
  for (const DeploymentIndex deployment : eligible_.members()) {
    if (!eligible_.admits(deployment)) continue;
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

}  // namespace spillway
