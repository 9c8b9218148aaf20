#include "core/itinerary.hpp"

#include <algorithm>
#include <utility>

namespace spillway {

Itinerary::Itinerary(const Config& config, Fleet& fleet, ModelMatch first, Endpoint endpoint,
                     Delivery delivery)
    : config_(config), fleet_(fleet), endpoint_(endpoint), delivery_(delivery) {
  visits_.emplace_back(config_, fleet_, std::move(first), endpoint_, delivery_);
}

bool Itinerary::visited(const ModelMatch& model) const {
  return std::ranges::any_of(visits_,
                             [&](const GroupVisit& visit) { return visit.model() == model; });
}

// Content that was rejected is offered only to those whom the operator chose for it, not to whoever
// was next anyway.
const ModelMatch* Itinerary::next() const {
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
  ModelMatch model = *next();
  if (current().content_rejected()) pending_.clear();
  const auto own = current().fallbacks();
  pending_.insert(pending_.end(), own.begin(), own.end());
  visits_.emplace_back(config_, fleet_, std::move(model), endpoint_, delivery_);
}

std::optional<Duration> Itinerary::soonest_recovery(TimePoint now) {
  std::optional<TimePoint> soonest;
  for (GroupVisit& visit : visits_) {
    const auto recovery = visit.recovery(now);
    if (recovery) soonest = std::min(soonest.value_or(*recovery), *recovery);
  }
  if (!soonest) return std::nullopt;
  return *soonest - now;
}

}  // namespace spillway
