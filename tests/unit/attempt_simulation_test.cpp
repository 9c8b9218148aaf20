// A million requests in random worlds, each world from one seed (simulation.hpp). A world that
// breaks a rule is run again with a trace, which ends with the step that broke it; to see it once
// more:  SPILLWAY_SIMULATION_SEED=<seed> unit_tests "one seed is one world, to the last event"

#include <fmt/format.h>

#include <catch2/catch_test_macros.hpp>
#include <cstdlib>
#include <string>

#include "simulation.hpp"

namespace spillway {
namespace {

using simulation::RuleBroken;
using simulation::Tally;
using simulation::World;

// In each of the four shards. Fewer where every step costs ten times as much.
#if !defined(__OPTIMIZE__)
constexpr unsigned kWorlds = 25;
#elif defined(SPILLWAY_SANITIZED)
constexpr unsigned kWorlds = 60;
#else
constexpr unsigned kWorlds = 1300;
#endif
constexpr unsigned kRequests = 200;  // a world
constexpr std::size_t kShownBytes = 6000;

// Runs the world of the seed; empty if it broke no rule, else the rule and the last of the trace.
std::string trouble(std::uint64_t seed, Tally& tally) {
  try {
    World(seed, kRequests).run(tally);
    return {};
  } catch (const RuleBroken& broken) {
    std::string trace;
    Tally ignored;
    try {
      World(seed, kRequests, &trace).run(ignored);
    } catch (const RuleBroken&) {
      // The same one; the trace ends here.
    }
    const std::size_t from =
        trace.size() > kShownBytes ? trace.find('\n', trace.size() - kShownBytes) : 0;
    return fmt::format("{}\nbroken: {}\nseed {}; replay with SPILLWAY_SIMULATION_SEED={}",
                       trace.substr(from), broken.what(), seed, seed);
  }
}

void run_shard(unsigned shard) {
  Tally tally;
  for (std::uint64_t seed = shard * 100000; seed < shard * 100000 + kWorlds; ++seed) {
    const std::string found = trouble(seed, tally);
    if (!found.empty()) FAIL(found);
  }
  // The worlds are wild enough to meet what they are to test.
  CHECK(tally.requests >= kWorlds * kRequests);
  CHECK(tally.finished > tally.requests / 4);
  CHECK(tally.gave_up > tally.requests / 20);
  CHECK(tally.left > tally.requests / 200);
  CHECK(tally.calls > tally.requests * 9 / 10);
  CHECK(tally.asked_again > tally.requests / 100);
  CHECK(tally.waits > tally.requests / 50);
  CHECK(tally.fallbacks > tally.requests / 50);
  CHECK(tally.cut_after_content > tally.requests / 200);
  CHECK(tally.hedges > tally.requests / 200);
  CHECK(tally.resumed > 0);
  CHECK(tally.probes > tally.requests / 100);
  CHECK(tally.last_resorts > 0);
  CHECK(tally.budget_refusals > 0);
}

// Four, so that they can run at once; each has a quarter of the seeds.
TEST_CASE("random worlds break no rule, first shard") {
  run_shard(1);
}
TEST_CASE("random worlds break no rule, second shard") {
  run_shard(2);
}
TEST_CASE("random worlds break no rule, third shard") {
  run_shard(3);
}
TEST_CASE("random worlds break no rule, fourth shard") {
  run_shard(4);
}

TEST_CASE("one seed is one world, to the last event") {
  const char* chosen = std::getenv("SPILLWAY_SIMULATION_SEED");
  const std::uint64_t seed = chosen ? std::strtoull(chosen, nullptr, 10) : 1;
  std::string first;
  std::string second;
  Tally tally;
  try {
    World(seed, kRequests, &first).run(tally);
    World(seed, kRequests, &second).run(tally);
  } catch (const RuleBroken& broken) {
    FAIL(first << second << "broken: " << broken.what());
  }
  if (chosen) WARN(first);
  CHECK(first == second);
  CHECK(first.size() > 1000);
}

}  // namespace
}  // namespace spillway
