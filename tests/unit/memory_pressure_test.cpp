#include "core/memory_pressure.hpp"

#include <catch2/catch_test_macros.hpp>

namespace spillway {
namespace {

TEST_CASE("Above nine tenths of the memory idle connections go, above 95 % new requests") {
  CHECK(memory_pressure(0, 1000) == MemoryPressure::none);
  CHECK(memory_pressure(900, 1000) == MemoryPressure::none);
  CHECK(memory_pressure(901, 1000) == MemoryPressure::shedding);
  CHECK(memory_pressure(950, 1000) == MemoryPressure::shedding);
  CHECK(memory_pressure(951, 1000) == MemoryPressure::refusing);
  CHECK(memory_pressure(2000, 1000) == MemoryPressure::refusing);
}

TEST_CASE("Without a limit there is no pressure") {
  CHECK(memory_pressure(std::size_t{1} << 50, 0) == MemoryPressure::none);
}

}  // namespace
}  // namespace spillway
