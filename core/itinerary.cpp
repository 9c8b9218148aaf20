#include "core/itinerary.hpp"

#include <algorithm>
#include <utility>

namespace spillway {

namespace {

void heed(const GroupVisit& earlier, GroupVisit& visit) {
  visit.heed_failures_in(earlier);
  visit.heed_windows_exceeded_in(earlier);
}

}  // namespace

Itinerary::Itinerary(const Config& config, Fleet& fleet, ModelMatch first,
                     const RequestTraits& traits)
    : config_(config),
      fleet_(fleet),
      traits_(traits),
      first_(config, fleet, std::move(first), traits) {}

bool Itinerary::visited(const ModelMatch& model) const {
  const auto is_to = [&](const GroupVisit& visit) { return visit.model() == model; };
  return is_to(first_) || std::ranges::any_of(later_, is_to);
}

// Content that was rejected is offered only to those whom the operator chose for it, not to whoever
// was next anyway.
const ModelMatch* Itinerary::next() const {
  if (traits_.options.disable_fallbacks) return nullptr;
  if (fallbacks() >= config_.router.max_fallbacks) return nullptr;
  if (!current().content_rejected()) {
    for (const ModelMatch& model : pending_) {
      if (!visited(model)) return &model;
    }
  }
  for (const ModelMatch& model : current().fallbacks()) {
    if (!visited(model)) return &model;
  }
  return nullptr;
}

void Itinerary::advance() {
  const ModelMatch* model = next();
  if (!ahead_.empty() && ahead_.front().model() == *model) return go_ahead();
  GroupVisit visit = visit_to(*model);
  leave_current();
  later_.push_back(std::move(visit));
}

GroupVisit& Itinerary::ahead() {
  const ModelMatch* model = next();
  // Nobody was asked there, or the request would not look ahead again.
  if (!ahead_.empty() && ahead_.front().model() != *model) ahead_.clear();
  if (ahead_.empty()) ahead_.push_back(visit_to(*model));
  return ahead_.front();
}

void Itinerary::go_ahead() {
  leave_current();
  heed_failures_so_far(ahead_.front());
  later_.splice(later_.end(), ahead_);
}

GroupVisit Itinerary::visit_to(const ModelMatch& model) const {
  GroupVisit visit(config_, fleet_, model, traits_);
  heed_failures_so_far(visit);
  return visit;
}

void Itinerary::heed_failures_so_far(GroupVisit& visit) const {
  heed(first_, visit);
  for (const GroupVisit& earlier : later_) heed(earlier, visit);
}

// Its fallbacks are still to be tried.
void Itinerary::leave_current() {
  if (current().content_rejected()) pending_.clear();
  const auto own = current().fallbacks();
  pending_.insert(pending_.end(), own.begin(), own.end());
}

std::optional<Duration> Itinerary::soonest_recovery(TimePoint now) {
  std::optional<TimePoint> soonest = first_.recovery(now);
  for (GroupVisit& visit : later_) {
    const auto recovery = visit.recovery(now);
    if (recovery) soonest = std::min(soonest.value_or(*recovery), *recovery);
  }
  if (!soonest) return std::nullopt;
  return *soonest - now;
}

}  // namespace spillway
