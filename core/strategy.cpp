#include "core/strategy.hpp"

#include <algorithm>
#include <limits>

#include "core/bounds.hpp"

namespace spillway {

// Both draws use the same random numbers, but only one of them is ever looked at.
void WeightedShuffle::show(DeploymentIndex candidate, const Deployment& deployment) {
  const double share = uniform(*random_);
  any_weighted_ |= deployment.weighted;
  count_ += 1.0;
  if (share * count_ < 1.0) uniformly_ = candidate;
  total_weight_ += deployment.weight;
  if (share * total_weight_ < deployment.weight) by_weight_ = candidate;
}

// If all weights are 0, nothing else is left, and all are equal.
std::optional<DeploymentIndex> WeightedShuffle::chosen() const {
  return any_weighted_ && by_weight_ ? by_weight_ : uniformly_;
}

void Least::show(DeploymentIndex candidate, double value) {
  if (tolerated_) value = std::max(value, *tolerated_);
  if (!chosen_ || value < least_) {
    chosen_ = candidate;
    least_ = value;
    equals_ = 1.0;
  } else if (value == least_) {
    equals_ += 1.0;
    if (uniform(*random_) * equals_ < 1.0) chosen_ = candidate;
  }
}

void TwoOfAll::show(DeploymentIndex candidate) {
  ++shown_;
  if (shown_ <= held_.size()) {
    held_[shown_ - 1] = candidate;
    return;
  }
  const double place = uniform(*random_) * static_cast<double>(shown_);
  if (place < static_cast<double>(held_.size())) held_[static_cast<std::size_t>(place)] = candidate;
}

double price(const Deployment& deployment) {
  return deployment.cost_per_token.value_or(std::numeric_limits<double>::max());
}

double adaptive_cost(const Load& load, Duration unmeasured) {
  // Times fade towards nothing, but a call in flight must always weigh something.
  const Duration time = std::max<Duration>(load.peak.value_or(unmeasured), milliseconds(1));
  // A failed call is not only one more call, but time lost before it: errors count threefold.
  const double success = 1.0 - load.error_rate;
  const double headroom = std::clamp(load.headroom, bounds::kLeastHeadroom, bounds::kLowHeadroom);
  const double waiting = (load.in_flight + 1.0) * std::chrono::duration<double>(time).count();
  return waiting / (success * success * success) * (bounds::kLowHeadroom / headroom);
}

double slow_start_share(const Load& load, TimePoint now) {
  if (!load.recovered_at) return 1.0;
  const double progress = std::chrono::duration<double>(now - *load.recovered_at) /
                          std::chrono::duration<double>(bounds::kSlowStart);
  return std::clamp(progress, bounds::kSlowStartShare, 1.0);
}

Preferred prefer(const Load& first, const Load& second, Random& random, TimePoint now) {
  const double share_of_first = slow_start_share(first, now);
  const double share_of_second = slow_start_share(second, now);
  // Of two that recover together neither can be spared.
  if (share_of_first < share_of_second && uniform(random) >= share_of_first)
    return Preferred::second;
  if (share_of_second < share_of_first && uniform(random) >= share_of_second)
    return Preferred::first;
  const double cost_of_first = adaptive_cost(first, second.peak.value_or(seconds(1)));
  const double cost_of_second = adaptive_cost(second, first.peak.value_or(seconds(1)));
  if (cost_of_first == cost_of_second)
    return uniform(random) < 0.5 ? Preferred::first : Preferred::second;
  return cost_of_first < cost_of_second ? Preferred::first : Preferred::second;
}

}  // namespace spillway
