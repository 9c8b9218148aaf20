// balancing_simulation [SEEDS]: every strategy under every trouble, as JSON for plot_balancing.py.

#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/simulation/balancing.hpp"

namespace spillway::balancing {
namespace {

using Json = nlohmann::ordered_json;

constexpr Duration kBin = seconds(5);

constexpr RoutingStrategy kStrategies[] = {
    RoutingStrategy::simple_shuffle, RoutingStrategy::least_busy, RoutingStrategy::usage_based,
    RoutingStrategy::latency_based,  RoutingStrategy::cost_based, RoutingStrategy::adaptive};
constexpr Trouble kTroubles[] = {Trouble::none, Trouble::slow, Trouble::rate_limited,
                                 Trouble::flapping};

double ms(Duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

// The 99th percentile of every bin of time, over all seeds; null where nothing was answered.
Json timeline(const std::vector<Served>& served, const Plan& plan) {
  std::vector<std::vector<Duration>> bins(static_cast<std::size_t>(plan.length / kBin));
  for (const Served& one : served) {
    const auto bin = static_cast<std::size_t>(one.at / kBin);
    if (!one.failed && bin < bins.size()) bins[bin].push_back(one.first_token);
  }
  Json json = Json::array();
  for (std::vector<Duration>& bin : bins)
    json.push_back(bin.empty() ? Json() : Json(ms(percentile(std::move(bin), 0.99))));
  return json;
}

Json compare(RoutingStrategy strategy, Trouble trouble, std::uint64_t seeds) {
  Plan plan{.strategy = strategy, .trouble = trouble};
  std::vector<Served> all;
  for (plan.seed = 1; plan.seed <= seeds; ++plan.seed) {
    const std::vector<Served> served = simulate(plan);
    all.insert(all.end(), served.begin(), served.end());
  }
  const Summary summary = summarise(all, plan);
  return {{"strategy", name(strategy)},
          {"trouble", name(trouble)},
          {"requests", summary.requests},
          {"p50_ms", ms(summary.p50)},
          {"p99_ms", ms(summary.p99)},
          {"errors", summary.errors},
          {"calls", summary.calls},
          {"wasted", summary.wasted},
          {"troubled_share", summary.troubled_share},
          {"trouble_from_s", plan.trouble_from / seconds(1)},
          {"trouble_until_s", plan.trouble_until / seconds(1)},
          {"bin_s", kBin / seconds(1)},
          {"p99_ms_timeline", timeline(all, plan)}};
}

}  // namespace
}  // namespace spillway::balancing

int main(int argc, char** argv) {
  using namespace spillway::balancing;
  const std::uint64_t seeds = argc > 1 ? std::stoul(argv[1]) : 20;
  Json rows = Json::array();
  for (const Trouble trouble : kTroubles)
    for (const auto strategy : kStrategies) rows.push_back(compare(strategy, trouble, seeds));
  std::puts(rows.dump(1).c_str());
}
