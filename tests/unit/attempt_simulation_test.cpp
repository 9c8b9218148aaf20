// Random configurations and upstreams, many requests at once, one virtual clock: what must hold
// after every step, whatever happens. The seed of a failing world is printed; it alone reproduces
// the run.

#include <catch2/catch_test_macros.hpp>
#include <map>
#include <memory>
#include <queue>
#include <variant>
#include <vector>

#include "core/attempt_loop.hpp"
#include "decision_support.hpp"
#include "watched_fleet.hpp"

namespace spillway {
namespace {

using testing::add_deployment;
using testing::add_group;
using testing::failed_with;
using testing::kStart;
using testing::WatchedFleet;

constexpr unsigned kWorlds = 200;
constexpr unsigned kRequests = 100;  // in each

unsigned below(Random& random, unsigned limit) {
  return static_cast<unsigned>(uniform(random) * limit);
}
bool chance(Random& random, double share) {
  return uniform(random) < share;
}

Config random_config(Random& random) {
  Config config;
  const unsigned groups = 1 + below(random, 3);
  for (unsigned g = 0; g < groups; ++g) {
    const GroupIndex group = add_group(config, "group-" + std::to_string(g));
    const unsigned deployments = below(random, 5) + (g == 0 ? 1 : 0);
    for (unsigned d = 0; d < deployments; ++d) {
      Deployment& deployment = config.deployments[add_deployment(config, group).value];
      if (chance(random, 0.2)) deployment.order = static_cast<int>(below(random, 3));
      if (chance(random, 0.2)) deployment.max_input_tokens = 1000 * (1 + below(random, 3));
      if (chance(random, 0.1)) deployment.num_retries = below(random, 4);
      if (chance(random, 0.1)) deployment.cooldown.cooldown_time = seconds(below(random, 5));
      if (chance(random, 0.1)) deployment.cooldown.allowed_fails = below(random, 4);
      if (chance(random, 0.05)) deployment.cooldown.disabled = true;
    }
    config.groups[g].num_retries = below(random, 4);
  }
  for (ModelGroup& group : config.groups) {
    for (std::uint32_t to = 0; to < groups; ++to) {
      if (chance(random, 0.3)) group.fallbacks.push_back({GroupIndex{to}, {}});
      if (chance(random, 0.1)) group.content_policy_fallbacks.push_back({GroupIndex{to}, {}});
    }
    if (chance(random, 0.2)) group.context_window_fallbacks.emplace(group.fallbacks);
  }
  config.router.max_attempts = 1 + below(random, 8);
  config.router.max_fallbacks = below(random, 4);
  config.router.failover = !chance(random, 0.05);
  if (chance(random, 0.2)) config.timeouts.total = seconds(1 + below(random, 20));
  config.router.timeout = seconds(5 + below(random, 20));
  return config;
}

// How a deployment behaves for a while: mostly one way, sometimes another.
struct Mood {
  double failing = 0;
  ErrorClass error_class{};
};

struct Request {
  std::unique_ptr<AttemptLoop> loop;
  GroupIndex visiting{0};
  std::map<std::uint32_t, unsigned> calls_of;  // in the group being asked
  std::map<std::uint32_t, Failure> failed;     // the same
  unsigned fresh = 0;
  unsigned again = 0;
  std::optional<DeploymentIndex> calling;
  bool content = false;
  Duration slept{};
};

// One run: requests arrive, wait, call and end in the order of the virtual clock.
class World {
 public:
  explicit World(std::uint64_t seed)
      : random_(seed),
        config_(random_config(random_)),
        fleet_(config_, seed + 1),
        moods_(config_.deployments.size()) {}

  void run() {
    for (std::size_t i = 0; i < kRequests; ++i) {
      requests_.emplace_back();
      at(kStart + milliseconds(below(random_, 30000)), i, attempt::Begin{});
    }
    while (!agenda_.empty()) {
      const auto [when, order, index] = agenda_.top();
      agenda_.pop();
      REQUIRE(when >= now_);
      now_ = when;
      const attempt::Event event = std::move(events_[order]);
      events_.erase(order);
      step(index, event);
    }
    REQUIRE(ended_ + left_ == kRequests);
    for (const Request& request : requests_) REQUIRE_FALSE(request.loop);
    fleet_.check_all_returned(now_);
  }

  unsigned calls = 0;
  WatchedFleet& fleet() { return fleet_; }

 private:
  void at(TimePoint when, std::size_t index, attempt::Event event) {
    events_.emplace(++sequence_, std::move(event));
    agenda_.push({when, sequence_, index});
  }

  void step(std::size_t index, const attempt::Event& event) {
    Request& request = requests_[index];
    if (std::holds_alternative<attempt::Begin>(event)) {
      const RequestTraits traits{.streaming = chance(random_, 0.5)};
      request.loop = std::make_unique<AttemptLoop>(config_, fleet_, ModelMatch{GroupIndex{0}, {}},
                                                   traits, now_);
    }
    if (chance(random_, 0.02)) {  // the client left
      request.loop.reset();
      ++left_;
      return;
    }
    note(request, event);
    const attempt::Action action = request.loop->next(event, now_);
    std::visit([&](const auto& what) { carry_out(index, what); }, action);
  }

  void note(Request& request, const attempt::Event& event) {
    if (std::holds_alternative<attempt::ContentStarted>(event)) request.content = true;
    if (const auto* failed = std::get_if<attempt::Failed>(&event)) {
      request.failed.insert_or_assign(request.calling->value, failed->failure);
      request.calling.reset();
    }
  }

  void carry_out(std::size_t index, const attempt::Call& call) {
    Request& request = requests_[index];
    ++calls;
    REQUIRE_FALSE(request.content);
    REQUIRE(call.deadline > now_);
    REQUIRE(config_.at(call.deployment).group == request.loop->group());
    if (!request.calling) count(request, call.deployment);
    request.calling = call.deployment;
    answer(index, call);
  }

  void count(Request& request, DeploymentIndex deployment) {
    if (request.visiting != request.loop->group()) {
      request.visiting = request.loop->group();
      request.calls_of.clear();
      request.failed.clear();
      request.again = 0;
    }
    const bool asked_before = request.calls_of[deployment.value]++ > 0;
    (asked_before ? request.again : request.fresh) += 1;
    REQUIRE(request.fresh <= config_.router.max_attempts);
    if (!asked_before) return;
    const ErrorClass met = request.failed.at(deployment.value).error_class;
    REQUIRE(met != ErrorClass::timeout);
    REQUIRE(met != ErrorClass::quota_exhausted);
    REQUIRE(met != ErrorClass::authentication);
    REQUIRE(request.again <=
            config_.at(deployment).num_retries.value_or(config_.at(request.visiting).num_retries));
    // Nobody is asked again while another is callable that has not failed this request.
    for (const DeploymentIndex other : config_.at(request.visiting).deployments) {
      if (request.calls_of.contains(other.value) || windows_matter(request)) continue;
      REQUIRE_FALSE(fleet_.availability(other, now_).callable);
    }
  }

  static bool windows_matter(const Request& request) {
    for (const auto& [deployment, failure] : request.failed) {
      if (failure.error_class == ErrorClass::context_window_exceeded) return true;
    }
    return false;
  }

  void answer(std::size_t index, const attempt::Call& call) {
    Mood& mood = moods_[call.deployment.value];
    if (chance(random_, 0.05)) {
      mood = {chance(random_, 0.5) ? 0.0 : uniform(random_) * 1.2,
              static_cast<ErrorClass>(below(random_, kErrorClassCount - 1))};
    }
    const TimePoint head = now_ + milliseconds(below(random_, 800));
    if (call.connection == attempt::Call::Connection::pooled && chance(random_, 0.02)) {
      at(head, index, attempt::StaleConnection{});
    } else if (chance(random_, mood.failing)) {
      std::optional<Duration> hint;
      if (chance(random_, 0.4)) hint = milliseconds(1 + below(random_, 8000));
      Failure failure = failed_with(mood.error_class, hint);
      failure.concerns_deployment = chance(random_, 0.5);
      const bool timeout = mood.error_class == ErrorClass::timeout;
      at(timeout ? call.deadline : head, index, attempt::Failed{failure});
    } else {
      at(head, index, attempt::HeadArrived{});
    }
  }

  void carry_out(std::size_t index, const attempt::Wait& wait) {
    Request& request = requests_[index];
    REQUIRE(wait.until > now_);
    request.slept += wait.until - now_;
    // max_wait with its jitter, and the backoffs of all groups.
    REQUIRE(request.slept <= seconds(6) + seconds(8) * 12);
    at(wait.until, index, attempt::TimerFired{});
  }

  void carry_out(std::size_t index, const attempt::Continue&) {
    Request& request = requests_[index];
    const TimePoint later = now_ + milliseconds(below(random_, 3000));
    if (!request.content && chance(random_, 0.7)) {
      at(later, index, attempt::ContentStarted{});
    } else if (chance(random_, 0.05)) {
      at(later, index, attempt::Failed{failed_with(ErrorClass::protocol)});
    } else {
      at(later, index, attempt::Completed{});
    }
  }

  void carry_out(std::size_t index, const attempt::Finish&) { end(index); }
  void carry_out(std::size_t index, const attempt::GiveUp& give_up) {
    REQUIRE_FALSE((give_up.retry_after && give_up.should_not_retry));
    if (give_up.retry_after) REQUIRE(*give_up.retry_after > Duration::zero());
    REQUIRE(give_up.failure.status >= 400);
    end(index);
  }
  void end(std::size_t index) {
    Request& request = requests_[index];
    REQUIRE(request.loop->attempts() == request.loop->records().size());
    REQUIRE(request.loop->fallbacks() <= config_.router.max_fallbacks);
    REQUIRE(
        std::holds_alternative<attempt::Continue>(request.loop->next(attempt::TimerFired{}, now_)));
    request.loop.reset();
    ++ended_;
  }

  using Entry = std::tuple<TimePoint, std::uint64_t, std::size_t>;

  Random random_;
  Config config_;
  WatchedFleet fleet_;
  std::vector<Mood> moods_;
  std::vector<Request> requests_;
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> agenda_;
  std::map<std::uint64_t, attempt::Event> events_;
  std::uint64_t sequence_ = 0;
  TimePoint now_ = kStart;
  unsigned ended_ = 0;
  unsigned left_ = 0;
};

TEST_CASE("twenty thousand requests of random worlds break no rule") {
  unsigned calls = 0;
  unsigned probes = 0;
  unsigned last_resorts = 0;
  for (std::uint64_t seed = 1; seed <= kWorlds; ++seed) {
    INFO("seed " << seed);
    World world(seed);
    world.run();
    calls += world.calls;
    probes += world.fleet().probes;
    last_resorts += world.fleet().last_resorts;
  }
  // The worlds are wild enough to meet what they are to test.
  CHECK(calls > kWorlds * kRequests / 2);
  CHECK(probes > 100);
  CHECK(last_resorts > 20);
}

}  // namespace
}  // namespace spillway
