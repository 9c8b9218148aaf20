#include "core/retry_budget.hpp"

#include <algorithm>

namespace spillway {

void RetryBudget::count_request(TimePoint now) {
  requests_.add(now);
  hedges_saved_ = std::min(hedges_saved_ + hedge_share_, bounds::kHedgesSaved);
}

bool RetryBudget::draw(TimePoint now) {
  const double earned = share_ * static_cast<double>(requests_.total(now));
  const double allowed = std::max(earned, static_cast<double>(bounds::kRetryBudgetMinimum));
  if (static_cast<double>(held_) + 1.0 > allowed) return false;
  ++held_;
  return true;
}

bool RetryBudget::draw_hedge(TimePoint now) {
  // Ten shares of a tenth are one hedge, whatever the sum of the fractions says.
  constexpr double kWhole = 1.0 - 1e-9;
  if (hedges_saved_ < kWhole || !draw(now)) return false;
  hedges_saved_ = std::max(hedges_saved_ - 1.0, 0.0);
  return true;
}

void RetryBudget::give_back() {
  if (held_ > 0) --held_;
}

}  // namespace spillway
