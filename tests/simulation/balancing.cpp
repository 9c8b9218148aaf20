#include "tests/simulation/balancing.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <queue>
#include <random>
#include <string>
#include <tuple>
#include <utility>
#include <variant>

#include "core/attempt_loop.hpp"

namespace spillway::balancing {
namespace {

const TimePoint kBeginning{std::chrono::hours(1000)};
constexpr unsigned kDeployments = 4;
constexpr std::uint32_t kTroubled = 0;
constexpr double kFirstTokenSeconds = 0.4;  // the median of an idle deployment
constexpr double kFirstTokenSpread = 0.35;  // of its logarithm
constexpr double kStreamSeconds = 2.0;      // on average, after the first token
constexpr double kComfortable = 40.0;       // calls at once that double the time to the first token
constexpr Duration kFirstTokenDeadline = seconds(30);
constexpr std::uint64_t kRequestsPerMinute = 60;

Duration as_duration(double length) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(length));
}

Config configuration(RoutingStrategy strategy) {
  Config config;
  config.router.strategy = strategy;
  config.router.stream_timeout = kFirstTokenDeadline;
  config.groups.push_back({});
  for (std::uint32_t i = 0; i < kDeployments; ++i) {
    Deployment deployment;
    deployment.id = std::to_string(i);
    deployment.targets.fill("/v1/x");
    // The one that gets into trouble is also the cheapest: what is chosen for its price alone.
    deployment.cost_per_token = 1e-6 * (1.0 + i);
    config.deployments.push_back(std::move(deployment));
    config.groups[0].deployments.push_back(DeploymentIndex{i});
  }
  return config;
}

Failure failed_with(ErrorClass error_class) {
  Failure failure;
  failure.error_class = error_class;
  failure.status = default_status(error_class);
  return failure;
}

// The four deployments, as they behave.
class Upstreams {
 public:
  Upstreams(const Plan& plan, Random& random) : plan_(plan), random_(random) {}

  struct Answer {
    Duration after{};
    std::optional<Failure> failure;  // nullopt: the first token comes then, and the rest
    Duration stream{};               // as long after it
    Quotas quotas;
  };

  Answer ask(DeploymentIndex deployment, TimePoint now) {
    ++running_[deployment.value];
    Answer answer;
    const bool troubled = in_trouble(deployment, now);
    if (troubled && plan_.trouble == Trouble::rate_limited) {
      answer = rate_limited(now);
    } else if (troubled && plan_.trouble == Trouble::flapping && down(now)) {
      answer.failure = failed_with(ErrorClass::unavailable);
    }
    if (answer.failure) {
      answer.after = milliseconds(50);
      return answer;
    }
    const double crowd = 1.0 + running_[deployment.value] / kComfortable;
    const double ill = troubled && plan_.trouble == Trouble::slow ? 10.0 : 1.0;
    std::lognormal_distribution<double> first_token(std::log(kFirstTokenSeconds),
                                                    kFirstTokenSpread);
    std::exponential_distribution<double> stream(1.0 / kStreamSeconds);
    answer.after = as_duration(first_token(random_) * crowd * ill);
    answer.stream = as_duration(stream(random_) * ill);
    return answer;
  }
  void answered(DeploymentIndex deployment) { --running_[deployment.value]; }

 private:
  bool in_trouble(DeploymentIndex deployment, TimePoint now) const {
    const Duration since = now - kBeginning;
    return deployment.value == kTroubled && since >= plan_.trouble_from &&
           since < plan_.trouble_until;
  }

  static bool down(TimePoint now) { return (now - kBeginning) % seconds(30) < seconds(10); }

  Answer rate_limited(TimePoint now) {
    const auto minute = (now - kBeginning) / minutes(1);
    if (std::exchange(minute_, minute) != minute) used_ = 0;
    Answer answer;
    const Duration rest = kBeginning + minutes(1) * (minute + 1) - now;
    if (used_ >= kRequestsPerMinute) {
      answer.failure = failed_with(ErrorClass::rate_limit);
      answer.failure->hint = RetryHint{rest, HintSource::retry_after_seconds};
    } else {
      ++used_;
    }
    answer.quotas.requests = Quota{kRequestsPerMinute, kRequestsPerMinute - used_, rest};
    return answer;
  }

  const Plan& plan_;
  Random& random_;
  std::array<unsigned, kDeployments> running_{};
  std::int64_t minute_ = -1;
  std::uint64_t used_ = 0;
};

struct Request {
  std::unique_ptr<AttemptLoop> loop;
  TimePoint arrived{};
  DeploymentIndex asked;
  Duration stream{};
  Quotas quotas;
  Served served;
};

// Requests arrive, wait, call and end in the order of the virtual clock.
class World {
 public:
  explicit World(const Plan& plan)
      : plan_(plan),
        random_(plan.seed),
        config_(configuration(plan.strategy)),
        fleet_(config_, plan.seed + 1),
        upstreams_(plan, random_) {}

  std::vector<Served> run() {
    std::exponential_distribution<double> pause(plan_.requests_per_second);
    const TimePoint end = kBeginning + plan_.length;
    for (TimePoint at = kBeginning; at < end; at += as_duration(pause(random_))) {
      requests_.emplace_back().arrived = at;
      plan_event(at, requests_.size() - 1, attempt::Begin{});
    }
    while (!agenda_.empty()) {
      Entry entry = agenda_.top();
      agenda_.pop();
      now_ = entry.at;
      step(requests_[entry.request], entry.request, entry.event);
    }
    std::vector<Served> served;
    for (const Request& request : requests_) served.push_back(request.served);
    return served;
  }

 private:
  struct Entry {
    TimePoint at;
    std::uint64_t order;
    std::size_t request;
    attempt::Event event;
    bool operator>(const Entry& other) const {
      return std::tie(at, order) > std::tie(other.at, other.order);
    }
  };

  void plan_event(TimePoint at, std::size_t request, attempt::Event event) {
    agenda_.push({at, ++order_, request, std::move(event)});
  }

  void step(Request& request, std::size_t index, const attempt::Event& event) {
    if (std::holds_alternative<attempt::Begin>(event)) begin(request);
    if (std::holds_alternative<attempt::ContentStarted>(event))
      request.served.first_token = now_ - request.arrived;
    if (std::holds_alternative<attempt::Completed>(event) ||
        std::holds_alternative<attempt::Failed>(event))
      call_ended(request, event);
    if (!std::holds_alternative<attempt::Begin>(event))
      fleet_.told_quotas(request.asked, std::exchange(request.quotas, {}), now_);
    const attempt::Action action = request.loop->next(event, now_);
    if (const auto* call = std::get_if<attempt::Call>(&action)) {
      ask(request, index, *call);
    } else if (const auto* wait = std::get_if<attempt::Wait>(&action)) {
      plan_event(wait->until, index, attempt::TimerFired{});
    } else if (std::holds_alternative<attempt::Continue>(action)) {
      plan_event(now_ + request.stream, index, attempt::Completed{});
    } else {
      end(request, std::holds_alternative<attempt::GiveUp>(action));
    }
  }

  void begin(Request& request) {
    const RequestTraits traits{.streaming = true, .tokens = 500};
    request.loop =
        std::make_unique<AttemptLoop>(config_, fleet_, ModelMatch{GroupIndex{0}, {}}, traits, now_);
    request.served.at = now_ - kBeginning;
  }

  void ask(Request& request, std::size_t index, const attempt::Call& call) {
    const Upstreams::Answer answer = upstreams_.ask(call.deployment, now_);
    request.asked = call.deployment;
    request.stream = answer.stream;
    ++request.served.calls;
    request.quotas = answer.quotas;
    if (answer.failure)
      plan_event(now_ + answer.after, index, attempt::Failed{*answer.failure});
    else if (now_ + answer.after >= call.deadline)
      plan_event(call.deadline, index, attempt::Failed{failed_with(ErrorClass::timeout)});
    else
      plan_event(now_ + answer.after, index, attempt::ContentStarted{});
  }

  void call_ended(Request& request, const attempt::Event& event) {
    upstreams_.answered(request.asked);
    if (std::holds_alternative<attempt::Failed>(event)) {
      ++request.served.wasted;
      return;
    }
    std::uniform_int_distribution<std::uint64_t> tokens(200, 1000);
    fleet_.used_tokens(request.asked, tokens(random_), now_);
  }

  void end(Request& request, bool failed) {
    request.served.failed = failed;
    request.served.by_troubled = !failed && request.asked.value == kTroubled;
    request.loop.reset();
  }

  const Plan& plan_;
  Random random_;
  Config config_;
  LocalFleet fleet_;
  Upstreams upstreams_;
  std::vector<Request> requests_;
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> agenda_;
  std::uint64_t order_ = 0;
  TimePoint now_ = kBeginning;
};

}  // namespace

std::vector<Served> simulate(const Plan& plan) {
  return World(plan).run();
}

Duration percentile(std::vector<Duration> times, double share) {
  if (times.empty()) return {};
  const auto rank = static_cast<std::size_t>(share * static_cast<double>(times.size() - 1));
  const auto place = times.begin() + static_cast<std::ptrdiff_t>(rank);
  std::nth_element(times.begin(), place, times.end());
  return *place;
}

Summary summarise(const std::vector<Served>& served, const Plan& plan) {
  Summary summary;
  std::vector<Duration> times;
  unsigned by_troubled = 0;
  for (const Served& one : served) {
    if (one.at < plan.trouble_from || one.at >= plan.trouble_until) continue;
    ++summary.requests;
    summary.errors += one.failed;
    summary.calls += one.calls;
    summary.wasted += one.wasted;
    by_troubled += one.by_troubled;
    if (!one.failed) times.push_back(one.first_token);
  }
  if (!times.empty())
    summary.troubled_share = static_cast<double>(by_troubled) / static_cast<double>(times.size());
  summary.p50 = percentile(times, 0.5);
  summary.p99 = percentile(std::move(times), 0.99);
  return summary;
}

std::string_view name(RoutingStrategy strategy) {
  switch (strategy) {
    case RoutingStrategy::simple_shuffle:
      return "simple-shuffle";
    case RoutingStrategy::least_busy:
      return "least-busy";
    case RoutingStrategy::usage_based:
      return "usage-based-routing-v2";
    case RoutingStrategy::latency_based:
      return "latency-based-routing";
    case RoutingStrategy::cost_based:
      return "cost-based-routing";
    case RoutingStrategy::adaptive:
      return "adaptive";
  }
  return "unknown";
}

std::string_view name(Trouble trouble) {
  switch (trouble) {
    case Trouble::none:
      return "none";
    case Trouble::slow:
      return "slow";
    case Trouble::rate_limited:
      return "rate-limited";
    case Trouble::flapping:
      return "flapping";
  }
  return "unknown";
}

}  // namespace spillway::balancing
