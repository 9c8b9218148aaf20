// Counts events of the recent past in a fixed amount of memory: a ring of slots, each a fixed share
// of the window. What is counted is at most `Window` old and at least `Window` minus one slot, so
// the edge is rough by one slot, never by a whole window as with counters that are reset once a
// minute.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "core/time.hpp"

namespace spillway {

template <std::size_t Slots>
class SlidingCount {
 public:
  explicit SlidingCount(Duration window) : slot_length_(window / static_cast<int>(Slots)) {}

  void add(TimePoint now) {
    const std::int64_t epoch = epoch_of(now);
    Slot& slot = slots_[index_of(epoch)];
    if (epoch > slot.epoch) slot = {epoch, 0};
    ++slot.count;
  }

  std::uint64_t total(TimePoint now) const {
    const std::int64_t newest = epoch_of(now);
    const std::int64_t oldest = newest - static_cast<std::int64_t>(Slots) + 1;
    std::uint64_t sum = 0;
    for (const Slot& slot : slots_) {
      if (slot.epoch >= oldest && slot.epoch <= newest) sum += slot.count;
    }
    return sum;
  }

  void clear() { slots_.fill(Slot{}); }

 private:
  struct Slot {
    std::int64_t epoch = INT64_MIN;  // which stretch of time the count belongs to
    std::uint64_t count = 0;
  };

  std::int64_t epoch_of(TimePoint now) const { return now.time_since_epoch() / slot_length_; }
  static std::size_t index_of(std::int64_t epoch) {
    constexpr auto kModulus = static_cast<std::int64_t>(Slots);
    return static_cast<std::size_t>(((epoch % kModulus) + kModulus) % kModulus);
  }

  Duration slot_length_;
  std::array<Slot, Slots> slots_{};
};

}  // namespace spillway
