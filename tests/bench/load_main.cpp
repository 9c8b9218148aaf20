// bench_load: sends a request to a proxy on loopback as a plan says, and prints what it found as
// one line of JSON.

#include <sys/prctl.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "tests/bench/load_run.hpp"
#include "tests/bench/net.hpp"

namespace spillway::bench {
namespace {

using Json = nlohmann::ordered_json;

// In microseconds; null without values.
Json percentiles(std::vector<std::uint64_t> values) {
  if (values.empty()) return nullptr;
  std::sort(values.begin(), values.end());
  const auto at = [&](double share) {
    const auto index = static_cast<std::size_t>(share * static_cast<double>(values.size()));
    return static_cast<double>(values[std::min(index, values.size() - 1)]) / 1000;
  };
  return {{"count", values.size()}, {"p50", at(0.5)},    {"p90", at(0.9)},
          {"p99", at(0.99)},        {"p999", at(0.999)}, {"max", at(1)}};
}

Json json_of(Findings found) {
  Json statuses = Json::object();
  for (const auto& [status, count] : found.other_statuses) statuses[std::to_string(status)] = count;
  return {{"answered", found.answered},
          {"events", found.events},
          {"refused", found.refused},
          {"broken", found.broken},
          {"unanswered", found.unanswered},
          {"other_statuses", statuses},
          {"seconds", found.seconds},
          {"latency_us", percentiles(std::move(found.latencies))},
          {"first_event_us", percentiles(std::move(found.first_events))},
          {"event_delay_us", percentiles(std::move(found.event_delays))},
          {"lateness_us", percentiles(std::move(found.lateness))}};
}

int load(int argc, char** argv) {
  LoadPlan plan;
  std::string request_file;
  CLI::App app("The load generator of Spillway's benchmark; loopback only");
  const std::map<std::string, LoadMode> modes = {{"closed", LoadMode::closed},
                                                 {"open", LoadMode::open},
                                                 {"streams", LoadMode::streams},
                                                 {"idle", LoadMode::idle}};
  app.add_option("mode", plan.mode, "closed, open, streams or idle")
      ->required()
      ->transform(CLI::CheckedTransformer(modes));
  app.add_option("--port", plan.port, "of the proxy, on 127.0.0.1")->required();
  app.add_option("--request", request_file, "file with the whole request")->required();
  app.add_option("--connections", plan.connections)->check(CLI::Range(1, 20000));
  app.add_option("--seconds", plan.seconds)->check(CLI::Range(0.1, 900.0));
  app.add_option("--rate", plan.rate, "open: requests a second")->check(CLI::Range(1, 100000));
  app.add_option("--open-rate", plan.open_rate, "streams, idle: connections made a second");
  app.add_flag("--hold", plan.hold, "streams, idle: say \"ready\", stay until standard input ends");
  CLI11_PARSE(app, argc, argv);
  if (plan.mode == LoadMode::open && plan.rate <= 0) {
    std::fputs("open needs --rate\n", stderr);
    return 2;
  }
  std::ifstream file(request_file, std::ios::binary);
  plan.request.assign(std::istreambuf_iterator<char>(file), {});
  if (plan.request.empty()) give_up(request_file);

  raise_descriptor_limit();
  ::prctl(PR_SET_TIMERSLACK, 1UL);  // wakes when a request is due, not 50 us later
  std::printf("%s\n", json_of(LoadRun(std::move(plan)).run()).dump().c_str());
  return 0;
}

}  // namespace
}  // namespace spillway::bench

int main(int argc, char** argv) {
  return spillway::bench::load(argc, argv);
}
