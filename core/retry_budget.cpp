#include "core/retry_budget.hpp"

#include <algorithm>

namespace spillway {

void RetryBudget::count_request(TimePoint now) {
  requests_.add(now);
}

bool RetryBudget::draw(TimePoint now) {
  const double earned = share_ * static_cast<double>(requests_.total(now));
  const double allowed = std::max(earned, static_cast<double>(bounds::kRetryBudgetMinimum));
  if (static_cast<double>(held_) + 1.0 > allowed) return false;
  ++held_;
  return true;
}

void RetryBudget::give_back() {
  if (held_ > 0) --held_;
}

}  // namespace spillway
