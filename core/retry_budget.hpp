// Bounds how much a group's retries can amplify an outage: asking again a deployment that already
// failed this request draws on a share of the group's recent requests (DESIGN.md section 5), and so
// does a hedge. Moving on to a fresh deployment does not.
//
// Hedges have a share of their own besides: of all requests ever counted, never more than that
// share was hedged. What quiet times save up for a burst is bounded.
//
// Not thread-safe; the server guards each one with its own short lock.
#pragma once

#include <cstdint>

#include "core/bounds.hpp"
#include "core/config.hpp"
#include "core/sliding_count.hpp"
#include "core/time.hpp"

namespace spillway {

class RetryBudget {
 public:
  explicit RetryBudget(const RouterSettings& router = {}) { use(router); }

  // After a reload: other shares, of the requests that were counted before as well.
  void use(const RouterSettings& router) {
    share_ = router.retry_budget_share;
    hedge_share_ = router.hedge ? router.hedge->share : 0.0;
  }

  void count_request(TimePoint now);  // one request to the group began
  [[nodiscard]] bool draw(
      TimePoint now);  // true: one retry may go; hold it until its head arrived, then give_back
  [[nodiscard]] bool draw_hedge(TimePoint now);  // true: as draw(), and within the hedges' share
  void give_back();
  unsigned held() const { return held_; }

 private:
  double share_ = 0.0;
  double hedge_share_ = 0.0;
  double hedges_saved_ = 0.0;  // earned by requests and not spent
  unsigned held_ = 0;
  SlidingCount<10> requests_{bounds::kRetryBudgetWindow};
};

}  // namespace spillway
