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

TEST_CASE("Pressure rises at once, and ends clearly below where it began") {
  struct Step {
    std::size_t used;
    MemoryPressure pressure;
  };
  const Step steps[] = {
      {900, MemoryPressure::none},     {901, MemoryPressure::shedding},
      {899, MemoryPressure::shedding}, {851, MemoryPressure::shedding},
      {850, MemoryPressure::none},     {951, MemoryPressure::refusing},
      {949, MemoryPressure::refusing}, {901, MemoryPressure::refusing},
      {900, MemoryPressure::shedding}, {951, MemoryPressure::refusing},
      {849, MemoryPressure::none},
  };
  MemoryGauge gauge;
  for (const Step& step : steps) {
    INFO(step.used);
    CHECK(gauge.look(step.used, 1000) == step.pressure);
    CHECK(gauge.pressure() == step.pressure);
  }
}

TEST_CASE("A limit that is lifted ends the pressure") {
  MemoryGauge gauge;
  gauge.look(1000, 1000);
  CHECK(gauge.look(1000, 0) == MemoryPressure::none);
}

TEST_CASE("That memory is short is told once a minute at most, and its end once each") {
  using News = MemoryGauge::News;
  MemoryGauge gauge;
  TimePoint now{};
  const auto told = [&](std::size_t used) {
    gauge.look(used, 1000);
    return gauge.news(now);
  };
  CHECK(told(1000) == News::refusing);
  CHECK(told(1000) == News::nothing);
  CHECK(told(800) == News::relieved);
  CHECK(told(800) == News::nothing);
  now += milliseconds(200);
  CHECK(told(1000) == News::nothing);  // so soon again
  CHECK(told(800) == News::nothing);   // of which nothing was told
  CHECK(told(1000) == News::nothing);
  now += bounds::kMemoryNews;
  CHECK(told(1000) == News::refusing);  // and it still is
  CHECK(told(920) == News::nothing);
  CHECK(told(800) == News::relieved);
}

}  // namespace
}  // namespace spillway
