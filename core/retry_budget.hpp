// Bounds how much a group's retries can amplify an outage: asking again a deployment that already failed this request
// draws on a share of the group's recent requests (DESIGN.md section 5). Moving on to a fresh deployment does not.
//
// Not thread-safe; the server guards each one with its own short lock.
#pragma once

#include <array>
#include <cstdint>

#include "core/bounds.hpp"
#include "core/time.hpp"

namespace spillway {

class RetryBudget {
 public:
  explicit RetryBudget(double share = bounds::kRetryBudgetShare) : share_(share) {}

  void count_request(TimePoint now);      // one request to the group began
  [[nodiscard]] bool draw(TimePoint now); // true: one retry may go; hold it until its head arrived, then give_back
  void give_back();
  unsigned held() const { return held_; }

 private:
  std::uint64_t requests_in_window(TimePoint now) const;

  static constexpr std::size_t kSlots = 10;  // of a tenth of the window each
  struct Slot {
    std::int64_t epoch = -1;
    std::uint64_t requests = 0;
  };
  std::array<Slot, kSlots> slots_{};
  double share_;
  unsigned held_ = 0;
};

}  // namespace spillway
