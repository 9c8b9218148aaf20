// bench_routing: how long it takes to choose a deployment, in nanoseconds, as one line of JSON.
//
// What is timed is what a worker does for a request, on the state that all workers share
// (server/snapshot.hpp): from the name of a model to the call that is to be made. Nobody is called.
// Each call is answered at once, and what that changes in the deployment's books is timed as well.
//
// With warm caches one choice follows the other. With cold ones twice as much memory as the
// second-level cache holds is read before each choice and before each answer, which leaves next to
// nothing there of the state and of the code: more than a busy worker forgets between two requests.
// The last level is left alone. All cores share it, often with other machines' work, and where it
// is larger than a gateway's whole state, nothing that a worker does would empty it.

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "config/load.hpp"
#include "core/attempt_loop.hpp"
#include "core/bounds.hpp"
#include "core/call_limits.hpp"
#include "server/snapshot.hpp"

namespace spillway::bench {
namespace {

using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

constexpr Duration kTime = milliseconds(80);     // at most, for each case and state of the caches
constexpr std::size_t kMostSamples = 5000;       // of them
constexpr std::size_t kUntimed = 300;            // choices of a case before the first that is timed
constexpr std::size_t kLineBytes = 64;           // of the caches
constexpr std::size_t kUnknownL2 = 2048 * 1024;  // bytes; where the system does not tell
constexpr std::size_t kRequestBytes = 700;
constexpr Duration kAnswerTime = milliseconds(400);

// --- what is measured ---

struct Case {
  std::string name;
  std::size_t deployments = 1000;  // in each group
  std::size_t groups = 1;
  std::string strategy{};  // empty: the default
  bool busy = false;       // each deployment has a call under way
};

const std::vector<Case> kCases = {
    {.name = "2 deployments", .deployments = 2},
    {.name = "1,000 deployments"},
    {.name = "1,000 groups of two", .deployments = 2, .groups = 1000},
    {.name = "1,000, least-busy", .strategy = "least-busy"},
    {.name = "1,000, least-busy, none idle", .strategy = "least-busy", .busy = true},
    {.name = "1,000, usage-based-routing-v2", .strategy = "usage-based-routing-v2"},
    {.name = "1,000, latency-based-routing", .strategy = "latency-based-routing"},
    {.name = "1,000, cost-based-routing", .strategy = "cost-based-routing"},
    {.name = "1,000, adaptive", .strategy = "adaptive"},
};

std::string group_name(std::size_t group) {
  return group == 0 ? "bench" : "bench-" + std::to_string(group);
}

// As tests/bench/proxies.py configures the gateway.
Config configuration(const Case& chosen) {
  Json models = Json::array();
  for (std::size_t group = 0; group < chosen.groups; ++group) {
    for (std::size_t i = 0; i < chosen.deployments; ++i) {
      const Json params = {{"model", "openai/bench-model"},
                           {"api_base", "http://127.0.0.1:" + std::to_string(9000 + i % 2) + "/v1"},
                           {"api_key", "sk-upstream"},
                           {"input_cost_per_token", 1e-6 * static_cast<double>(1 + i % 10)}};
      const std::string id = "bench-" + std::to_string(group) + "-" + std::to_string(i);
      models.push_back({{"model_name", group_name(group)},
                        {"litellm_params", params},
                        {"model_info", {{"id", id}}}});
    }
  }
  Json document = {{"model_list", std::move(models)}};
  if (!chosen.strategy.empty()) document["router_settings"]["routing_strategy"] = chosen.strategy;
  auto loaded = config::load_text(document.dump(), "bench", {});
  if (!loaded) throw std::runtime_error(to_string(loaded.error().front()));
  return std::move(loaded->config);
}

// --- caches ---

class Caches {
 public:
  Caches() : memory_(2 * second_level(), 1) {}

  std::size_t bytes() const { return memory_.size(); }
  void fill_with_something_else() {
    unsigned sum = 0;
    for (std::size_t at = 0; at < memory_.size(); at += kLineBytes) sum += memory_[at];
    sum_ = sum;
  }

 private:
  static std::size_t second_level() {
    const long told = ::sysconf(_SC_LEVEL2_CACHE_SIZE);
    return told > 0 ? static_cast<std::size_t>(told) : kUnknownL2;
  }

  std::vector<unsigned char> memory_;
  volatile unsigned sum_ = 0;
};

// --- choosing ---

struct Took {
  Duration choice{};
  Duration books{};
};

// One worker's view of a configuration, all of whose deployments have answered before.
class Chooser {
 public:
  explicit Chooser(const Case& chosen)
      : snapshot_(server::make_snapshot(configuration(chosen), nullptr)),
        fleet_(*snapshot_, random_) {
    const TimePoint now = Clock::now();
    for (std::uint32_t i = 0; i < snapshot_->deployments.size(); ++i) {
      answered_before(DeploymentIndex{i}, now);
      if (chosen.busy) fleet_.begin(DeploymentIndex{i}, now, DeploymentHealth::Force::no);
    }
  }

  // In any one of the groups. The time is looked at twice, so that the second look finds the clock
  // in the caches.
  template <typename BeforeEach>
  Took choose(const BeforeEach& before_each) {
    const Config& config = snapshot_->config;
    const std::uint64_t tokens = expected_tokens(kRequestBytes);
    before_each();
    const std::string model = group_name(order_() % config.groups.size());
    const TimePoint now = Clock::now();
    const TimePoint begun = Clock::now();
    std::optional<ModelMatch> match = find_model(config, model);
    loop_.emplace(config, fleet_, *std::move(match), RequestTraits{.tokens = tokens}, now);
    const attempt::Action action = loop_->next(attempt::Begin(), now);
    const TimePoint chosen = Clock::now();

    const auto* const call = std::get_if<attempt::Call>(&action);
    if (call == nullptr) throw std::runtime_error("nobody was chosen");
    before_each();
    const TimePoint answered = Clock::now();
    const TimePoint closing = Clock::now();
    loop_->next(attempt::HeadArrived(), answered);
    fleet_.used_tokens(call->deployment, tokens, answered);
    loop_->next(attempt::Completed(), answered);
    loop_.reset();
    const TimePoint closed = Clock::now();
    return {chosen - begun, closed - closing};
  }

 private:
  // Uses a minute now and then, each of which is forgotten with the next: what the window notes
  // next stands anywhere in it.
  void use_window(DeploymentIndex deployment, TimePoint until) {
    constexpr std::uint64_t kMost = 60;
    const auto times = static_cast<int>(order_() % kMost);
    for (int past = times; past > 0; --past)
      fleet_.used_tokens(deployment, 1, until - past * 2 * bounds::kRateWindow);
  }

  // No two alike, so that there is a least of everything.
  void answered_before(DeploymentIndex deployment, TimePoint now) {
    const TimePoint begun = now - seconds(1);
    const TimePoint answered = begun + kAnswerTime + std::chrono::microseconds(deployment.value);
    use_window(deployment, begun);
    const auto permit = fleet_.begin(deployment, begun, DeploymentHealth::Force::no);
    fleet_.first_token(*permit, Delivery::whole, answered);
    fleet_.succeeded(*permit, answered);
    fleet_.used_tokens(deployment, 100 + deployment.value, answered);
    fleet_.end(*permit);
  }

  server::SnapshotPtr snapshot_;
  Random random_;
  Random order_{1};
  server::WorkerFleet fleet_;
  std::optional<AttemptLoop> loop_;
};

// --- figures ---

struct Percentiles {
  double p50 = 0.0;
  double p99 = 0.0;
};

Percentiles percentiles(std::vector<Duration> values) {
  std::ranges::sort(values);
  const auto at = [&](std::size_t percent) {
    return static_cast<double>(values[values.size() * percent / 100].count());
  };
  return {at(50), at(99)};
}

// Between two looks at the clock with nothing between them.
double clock_ns() {
  std::vector<Duration> found(1000);
  for (Duration& between : found) {
    const TimePoint before = Clock::now();
    between = Clock::now() - before;
  }
  return percentiles(std::move(found)).p50;
}

template <typename BeforeEach>
Json measure(Chooser& chooser, double clock, const BeforeEach& before_each) {
  std::vector<Duration> choices, with_books;
  const TimePoint until = Clock::now() + kTime;
  while (choices.size() < kMostSamples && Clock::now() < until) {
    const Took took = chooser.choose(before_each);
    choices.push_back(took.choice);
    with_books.push_back(took.choice + took.books);
  }
  const Percentiles choice = percentiles(std::move(choices));
  const Percentiles both = percentiles(std::move(with_books));
  return {{"choice_p50_ns", choice.p50 - clock},
          {"choice_p99_ns", choice.p99 - clock},
          {"with_books_p50_ns", both.p50 - 2 * clock},
          {"with_books_p99_ns", both.p99 - 2 * clock}};
}

Json measure_all() {
  const double clock = clock_ns();
  Caches caches;
  const auto keep = [] {};
  const auto empty = [&] { caches.fill_with_something_else(); };
  Json cases = Json::object();
  for (const Case& chosen : kCases) {
    Chooser chooser(chosen);
    for (std::size_t i = 0; i < kUntimed; ++i) chooser.choose(keep);
    cases[chosen.name] = {{"warm", measure(chooser, clock, keep)},
                          {"cold", measure(chooser, clock, empty)}};
  }
  return {{"clock_ns", clock}, {"walked_bytes", caches.bytes()}, {"cases", std::move(cases)}};
}

}  // namespace
}  // namespace spillway::bench

int main() {
  try {
    std::printf("%s\n", spillway::bench::measure_all().dump().c_str());
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_routing: %s\n", error.what());
    return 1;
  }
}
