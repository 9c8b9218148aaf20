// What is done as the process's memory comes near its limit: first what costs nobody an answer,
// then new requests.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/bounds.hpp"

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

}  // namespace spillway
