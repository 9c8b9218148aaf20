// The short form of the comparison in docs/balancing.md: what it recommends `adaptive` for.

#include <catch2/catch_test_macros.hpp>

#include "tests/simulation/balancing.hpp"

namespace spillway::balancing {
namespace {

Summary outcome(RoutingStrategy strategy, Trouble trouble) {
  const Plan plan{.strategy = strategy, .trouble = trouble};
  return summarise(simulate(plan), plan);
}

TEST_CASE("a simulation is reproduced by its seed") {
  const Summary one = outcome(RoutingStrategy::adaptive, Trouble::flapping);
  const Summary two = outcome(RoutingStrategy::adaptive, Trouble::flapping);
  CHECK(one.p99 == two.p99);
  CHECK(one.wasted == two.wasted);
}

TEST_CASE("no strategy lets a client see one deployment's trouble as an error") {
  for (const auto trouble : {Trouble::slow, Trouble::rate_limited, Trouble::flapping})
    for (const auto strategy : {RoutingStrategy::simple_shuffle, RoutingStrategy::adaptive})
      CHECK(outcome(strategy, trouble).errors == 0);
}

TEST_CASE("adaptive keeps a slow deployment out of the tail") {
  const Summary adaptive = outcome(RoutingStrategy::adaptive, Trouble::slow);
  CHECK(adaptive.p99 * 4 < outcome(RoutingStrategy::simple_shuffle, Trouble::slow).p99);
  CHECK(adaptive.p99 < outcome(RoutingStrategy::least_busy, Trouble::slow).p99);
  CHECK(adaptive.troubled_share > 0.0);  // it still looks whether it is over
}

TEST_CASE("adaptive runs into no rate limit that it was told of") {
  CHECK(outcome(RoutingStrategy::adaptive, Trouble::rate_limited).wasted == 0);
  CHECK(outcome(RoutingStrategy::simple_shuffle, Trouble::rate_limited).wasted > 0);
}

TEST_CASE("adaptive wastes fewer calls on a deployment that comes and goes") {
  const unsigned adaptive = outcome(RoutingStrategy::adaptive, Trouble::flapping).wasted;
  CHECK(adaptive < outcome(RoutingStrategy::simple_shuffle, Trouble::flapping).wasted);
  CHECK(adaptive < outcome(RoutingStrategy::least_busy, Trouble::flapping).wasted);
}

TEST_CASE("adaptive shares as evenly as the others while all is well") {
  const Summary adaptive = outcome(RoutingStrategy::adaptive, Trouble::none);
  CHECK(adaptive.troubled_share > 0.2);
  CHECK(adaptive.troubled_share < 0.3);
}

}  // namespace
}  // namespace spillway::balancing
