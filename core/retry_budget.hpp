// Bounds how much a group's retries can amplify an outage: asking again a deployment that already
// failed this request draws on a share of the group's recent requests (DESIGN.md section 5). Moving
// on to a fresh deployment does not.
//
// Not thread-safe; the server guards each one with its own short lock.
#pragma once

#include <cstdint>

#include "core/bounds.hpp"
#include "core/sliding_count.hpp"
#include "core/time.hpp"

namespace spillway {

class RetryBudget {
 public:
  explicit RetryBudget(double share = bounds::kRetryBudgetShare) : share_(share) {}

  void count_request(TimePoint now);  // one request to the group began
  [[nodiscard]] bool draw(
      TimePoint now);  // true: one retry may go; hold it until its head arrived, then give_back
  void give_back();
  unsigned held() const { return held_; }

 private:
  SlidingCount<10> requests_{bounds::kRetryBudgetWindow};
  double share_;
  unsigned held_ = 0;
};

}  // namespace spillway
