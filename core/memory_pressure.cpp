#include "core/memory_pressure.hpp"

#include <algorithm>

namespace spillway {

MemoryPressure MemoryGauge::look(std::size_t used, std::size_t limit) {
  const auto relief = static_cast<std::size_t>(static_cast<double>(limit) * bounds::kMemoryRelief);
  const MemoryPressure risen = memory_pressure(used, limit);
  const MemoryPressure fallen = memory_pressure(used + relief, limit);
  pressure_ = std::clamp(pressure_, risen, fallen);
  return pressure_;
}

MemoryGauge::News MemoryGauge::news(TimePoint now) {
  if (told_ && pressure_ == MemoryPressure::none) {
    told_ = false;
    return News::relieved;
  }
  if (told_ || pressure_ != MemoryPressure::refusing) return News::nothing;
  if (told_at_ && now - *told_at_ < bounds::kMemoryNews) return News::nothing;
  told_ = true;
  told_at_ = now;
  return News::refusing;
}

}  // namespace spillway
