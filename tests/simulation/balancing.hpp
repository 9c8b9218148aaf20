// How the routing strategies do when one deployment of four gets into trouble: requests arrive at
// random, deployments answer under a virtual clock, and the gateway's own attempt loop, health and
// selection decide. A seed reproduces a run.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "core/config.hpp"
#include "core/time.hpp"

namespace spillway::balancing {

enum class Trouble : std::uint8_t {
  none,
  slow,          // ten times slower, without an error
  rate_limited,  // 60 requests a minute, then 429 until the minute is over
  flapping,      // 503 for ten seconds out of thirty
};

struct Plan {
  RoutingStrategy strategy = RoutingStrategy::simple_shuffle;
  Trouble trouble = Trouble::none;
  std::uint64_t seed = 1;
  Duration length = seconds(300);
  Duration trouble_from = seconds(60);
  Duration trouble_until = seconds(240);
  double requests_per_second = 20.0;
};

// One request, as its client saw it.
struct Served {
  Duration at{};           // since the beginning
  Duration first_token{};  // after its arrival, failed calls and waits included; 0 if it failed
  bool failed = false;
  unsigned calls = 0;
  unsigned wasted = 0;       // calls that brought an error
  bool by_troubled = false;  // answered by the deployment in trouble
};

// In order of arrival.
std::vector<Served> simulate(const Plan& plan);

// What became of the requests that arrived while there was trouble.
struct Summary {
  Duration p50{}, p99{};  // time to the first token of those that were answered
  unsigned requests = 0;
  unsigned errors = 0;
  unsigned calls = 0;
  unsigned wasted = 0;
  double troubled_share = 0.0;  // of the answers, from the deployment in trouble
};
Summary summarise(const std::vector<Served>& served, const Plan& plan);

// The given share of `times`, such as 0.99; 0 if there are none.
Duration percentile(std::vector<Duration> times, double share);

std::string_view name(RoutingStrategy strategy);  // as in the configuration
std::string_view name(Trouble trouble);

}  // namespace spillway::balancing
