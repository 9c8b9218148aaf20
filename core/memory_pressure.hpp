// What is done as the process's memory comes near its limit: first what costs nobody an answer,
// then new requests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "core/bounds.hpp"
#include "core/time.hpp"

namespace spillway {

enum class MemoryPressure : std::uint8_t {
  none,
  shedding,  // idle connections go, and answers are their connection's last
  refusing,  // new requests are refused
};

// `used` and `limit` in bytes; a limit of 0 is none.
constexpr MemoryPressure memory_pressure(std::size_t used, std::size_t limit) {
  if (limit == 0) return MemoryPressure::none;
  const auto share = [limit](double part) {
    return static_cast<std::size_t>(static_cast<double>(limit) * part);
  };
  if (used > share(bounds::kMemoryRefusing)) return MemoryPressure::refusing;
  return used > share(bounds::kMemoryShedding) ? MemoryPressure::shedding : MemoryPressure::none;
}

// The pressure over time. It rises at once, and falls only when the memory in use is clearly below
// where it rose (bounds::kMemoryRelief): near a limit, the use goes up and down with every request.
class MemoryGauge {
 public:
  // After a look at the memory.
  MemoryPressure look(std::size_t used, std::size_t limit);
  MemoryPressure pressure() const { return pressure_; }

  // What the operator should be told after a look: that requests are refused now, or that memory,
  // of which that was told, is no longer short. At most one of each within bounds::kMemoryNews.
  enum class News : std::uint8_t { nothing, refusing, relieved };
  News news(TimePoint now);

 private:
  MemoryPressure pressure_ = MemoryPressure::none;
  bool told_ = false;  // that memory is short, and not yet that it no longer is
  std::optional<TimePoint> told_at_;
};

}  // namespace spillway
