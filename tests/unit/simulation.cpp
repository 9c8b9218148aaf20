#include "tests/unit/simulation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <variant>

#include "decision_support.hpp"

namespace spillway::simulation {

using testing::failed_with;
using testing::kStart;

namespace {

constexpr Duration kKeepalive = seconds(15);
// Ten milliseconds' looks at another's probe for the longest max_wait, and every wait of a backoff.
constexpr unsigned kMostSteps = 2000;
constexpr unsigned kRequestsAfterHealing = 12;

long long ms(Duration duration) {
  return std::chrono::duration_cast<milliseconds>(duration).count();
}

}  // namespace

template <class... Parts>
void World::log(const Parts&... parts) {
  if (!trace_) return;
  fmt::format_to(std::back_inserter(*trace_), "{:>8} ms", ms(now_ - kStart));
  (fmt::format_to(std::back_inserter(*trace_), " {}", parts), ...);
  trace_->push_back('\n');
}

World::World(std::uint64_t seed, unsigned requests, std::string* trace)
    : random_(seed),
      config_(random_config(random_)),
      fleet_(config_, seed + 1),
      requests_(requests),
      trace_(trace),
      now_(kStart) {
  for (std::size_t i = 0; i < config_.deployments.size(); ++i) upstreams_.emplace_back(random_);
  describe_config();
}

void World::describe_config() {
  if (!trace_) return;
  for (const ModelGroup& group : config_.groups) {
    log(group.name, "has deployments", fmt::format("{}", group.deployments.size()), "retries",
        group.num_retries, "fallbacks", group.fallbacks.size(), "for rejected content",
        group.content_policy_fallbacks.size(), "for long prompts",
        group.context_window_fallbacks ? fmt::format("{}", group.context_window_fallbacks->size())
                                       : "as ever",
        group.wildcard ? "wildcard" : "");
  }
  for (const Deployment& each : config_.deployments) {
    const auto shown = [](const auto& value) {
      return value ? fmt::format("{}", *value) : std::string("-");
    };
    const CooldownRules& rules = each.cooldown;
    log(each.id, "of", config_.at(each.group).name, "order", shown(each.order), "weight",
        each.weight, "window", shown(each.max_input_tokens), "retries", shown(each.num_retries),
        "cooldown_time", rules.cooldown_time ? ms(*rules.cooldown_time) : -1, "allowed_fails",
        shown(rules.allowed_fails), rules.disabled ? "never cools" : "");
  }
  const RouterSettings& router = config_.router;
  log("max_attempts", router.max_attempts, "max_fallbacks", router.max_fallbacks, "max_wait",
      ms(router.max_wait), "budget", router.retry_budget_share, "failover", router.failover,
      "total", config_.timeouts.total ? ms(*config_.timeouts.total) : 0);
}

void World::run(Tally& tally) {
  // A few crowds, or a steady trickle.
  const unsigned span_ms = 20000 + below(random_, chance(random_, 0.2) ? 900000 : 100000);
  for (std::uint32_t i = 0; i < requests_.size(); ++i) {
    schedule(kStart + up_to(random_, span_ms), i, Kind::begin);
  }
  run_agenda();
  heal_and_check();
  tally_.requests = requests_.size();
  for (const Request& request : requests_) rule(request.ended, "every request ends");
  rule(tally_.finished + tally_.gave_up + tally_.left == tally_.requests,
       "every request ends in one outcome");
  tally.requests += tally_.requests;
  tally.finished += tally_.finished;
  tally.gave_up += tally_.gave_up;
  tally.left += tally_.left;
  tally.calls += tally_.calls;
  tally.asked_again += tally_.asked_again;
  tally.waits += tally_.waits;
  tally.fallbacks += tally_.fallbacks;
  tally.cut_after_content += tally_.cut_after_content;
  tally.resumed += tally_.resumed;
  tally.probes += fleet_.probes;
  tally.last_resorts += fleet_.last_resorts;
  tally.budget_refusals += fleet_.refusals;
  tally.hedges += fleet_.hedges;
}

void World::schedule(TimePoint when, std::uint32_t request, Kind kind) {
  agenda_.push({when, ++sequence_, request, kind});
}

void World::schedule(TimePoint when, std::uint32_t request, Kind kind, attempt::Leg leg) {
  agenda_.push({when, ++sequence_, request, kind, leg, requests_[request].at(leg).call});
}

void World::run_agenda() {
  while (!agenda_.empty()) {
    const Entry entry = agenda_.top();
    agenda_.pop();
    rule(entry.when >= now_, "time goes forward");
    now_ = entry.when;
    step(entry);
  }
  fleet_.check_all_returned(now_);
}

// --- what happens --------------------------------------------------------------------------------

void World::step(const Entry& entry) {
  const std::uint32_t index = entry.request;
  Request& request = requests_[index];
  if (entry.kind == Kind::begin) return begin(index);
  if (!request.loop) return;  // it left, or ended, before
  rule(++request.steps <= kMostSteps, "a request ends after a bounded number of steps");
  switch (entry.kind) {
    case Kind::begin:
      return;
    case Kind::head:
    case Kind::content:
    case Kind::complete:
    case Kind::fail:
    case Kind::stale:
    case Kind::hedge: {
      const Request::Leg& leg = request.at(entry.leg);
      if (leg.active && leg.call == entry.call) step_call(entry);
      return;
    }
    case Kind::timer:
      return report(index, attempt::TimerFired{}, "waited");
    case Kind::keepalive:
      request.referee->note_head_sent();
      return report(index, attempt::HeadSent{}, "head sent to the client");
    case Kind::noise:
      if (request.referee->calling()) report(index, attempt::TimerFired{}, "stray timer");
      return;
    case Kind::leave:
      return leave(index);
  }
}

// Something happens to a call under way.
void World::step_call(const Entry& entry) {
  const std::uint32_t index = entry.request;
  Request& request = requests_[index];
  const attempt::Leg leg = entry.leg;
  Request::Leg& other = request.legs[1 - static_cast<std::size_t>(leg)];
  const Plan& plan = request.at(leg).plan;
  switch (entry.kind) {
    case Kind::head:
      request.referee->note_head(leg);
      report(index, attempt::HeadArrived{leg}, "head arrived");
      if (plan.ending == Plan::Ending::cut_before_content)
        return plan_next(index, plan.to_content, Kind::fail, leg);
      return plan_next(index, plan.to_content,
                       request.traits.streaming ? Kind::content : Kind::complete, leg);
    case Kind::content:
      other.active = false;
      request.referee->note_content(leg);
      report(index, attempt::ContentStarted{leg}, "content started");
      if (plan.ending == Plan::Ending::cut_after_content)
        return schedule(now_ + plan.to_end, index, Kind::fail, leg);
      return schedule(now_ + plan.to_end, index, Kind::complete, leg);
    case Kind::complete:
      other.active = false;
      request.at(leg).active = false;
      request.referee->note_complete(leg);
      return report(index, attempt::Completed{leg}, "completed");
    case Kind::fail:
      return fail(index, plan.failure, leg);
    case Kind::stale:
      return report(index, attempt::StaleConnection{leg}, "connection was stale");
    default:  // Kind::hedge
      request.referee->note_hedge_due();
      return report(index, attempt::HedgeDue{}, "a hedge is due");
  }
}

void World::begin(std::uint32_t index) {
  Request& request = requests_[index];
  request.traits.streaming = chance(random_, 0.5);
  if (chance(random_, 0.1)) request.traits.endpoint = Endpoint::embeddings;
  ModelMatch model = random_model(config_, random_);
  request.referee =
      std::make_unique<RequestReferee>(config_, fleet_, index, model, request.traits, now_);
  request.loop =
      std::make_unique<AttemptLoop>(config_, fleet_, std::move(model), request.traits, now_);
  if (request.traits.streaming) schedule(now_ + kKeepalive, index, Kind::keepalive);
  if (!healed_ && chance(random_, 0.05)) schedule(now_ + up_to(random_, 9000), index, Kind::leave);
  if (chance(random_, 0.05)) schedule(now_ + up_to(random_, 9000), index, Kind::noise);
  report(index, attempt::Begin{}, "begins");
}

// The client is gone: the driver reports it, or just drops the request.
void World::leave(std::uint32_t index) {
  Request& request = requests_[index];
  const bool one_call = request.legs[0].active != request.legs[1].active;
  if (one_call && chance(random_, 0.5)) {
    const auto leg = request.legs[0].active ? attempt::Leg::first : attempt::Leg::hedge;
    fail(index, failed_with(ErrorClass::client_closed), leg);
    rule(request.ended, "a client that left is not waited for");
    return;
  }
  log("request", index, "is dropped");
  fleet_.begin_step(index);
  request.loop.reset();
  fleet_.end_step();
  rule(fleet_.permits(index) == 0 && fleet_.retries(index) == 0,
       "a dropped request gives everything back");
  request.referee.reset();
  request.ended = true;
  ++tally_.left;
}

void World::fail(std::uint32_t index, Failure failure, attempt::Leg leg) {
  // Told apart from every other failure, so that the referee knows whose the last word is.
  failure.message = fmt::format("{}/{}", index, ++failures_);
  Request& request = requests_[index];
  // A continuation that says something else is given up at its first differing byte.
  failure.excused = request.loop->committed() == CommitPoint::content_sent &&
                    failure.error_class == ErrorClass::protocol && chance(random_, 0.2);
  request.at(leg).active = false;
  attempt::Failed event{failure, request.at(leg).plan.resumable, leg};
  event.by_prefix = chance(random_, 0.8);
  event.begun_anew = failure.excused && chance(random_, 0.5);
  request.referee->note_failure(event, now_);
  log("request", index, "failed:", name(failure.error_class), failure.hint ? "hint" : "",
      failure.hint ? ms(failure.hint->delay) : 0);
  report(index, event, "goes on");
}

void World::report(std::uint32_t index, const attempt::Event& event, const char* what) {
  Request& request = requests_[index];
  log("request", index, what);
  const SimulatedFleet::Step& step = fleet_.begin_step(index);
  const attempt::Action action = request.loop->next(event, now_);
  fleet_.end_step();
  request.referee->judge(action, *request.loop, step, now_);
  std::visit([&](const auto& todo) { carry_out(index, todo); }, action);
}

// --- what the loop wants -------------------------------------------------------------------------

// Before content everything is bounded by the call's deadline.
void World::plan_next(std::uint32_t index, Duration after, Kind kind, attempt::Leg leg) {
  Request& request = requests_[index];
  if (!request.loop) return;
  Request::Leg& mine = request.at(leg);
  if (now_ + after < mine.deadline) return schedule(now_ + after, index, kind, leg);
  mine.plan.failure = failed_with(ErrorClass::timeout);
  schedule(mine.deadline, index, Kind::fail, leg);
}

void World::carry_out(std::uint32_t index, const attempt::Call& call) {
  Request& request = requests_[index];
  const bool goes_on = call.connection == attempt::Call::Connection::fresh;
  const attempt::Leg leg = call.leg;
  log("request", index, leg == attempt::Leg::hedge ? "hedges:" : "",
      goes_on ? "calls anew" : "calls", config_.at(call.deployment).id, "within",
      ms(call.deadline - now_));
  if (!goes_on) ++tally_.calls;
  tally_.resumed += !goes_on && call.resume != Resume::no;
  Request::Leg& mine = request.at(leg);
  mine.active = true;
  if (!goes_on) ++mine.call;
  mine.deadline = call.deadline;
  mine.plan = upstreams_[call.deployment.value].answer(random_, now_);
  if (call.hedge_at && !goes_on) schedule(*call.hedge_at, index, Kind::hedge, leg);
  const Plan& plan = mine.plan;
  if (plan.stale && !goes_on) return plan_next(index, plan.to_head, Kind::stale, leg);
  if (plan.silent) return plan_next(index, call.deadline - now_, Kind::fail, leg);
  plan_next(index, plan.to_head, plan.ending == Plan::Ending::fail_early ? Kind::fail : Kind::head,
            leg);
}

void World::carry_out(std::uint32_t index, const attempt::Wait& wait) {
  log("request", index, "waits", ms(wait.until - now_));
  ++tally_.waits;
  schedule(wait.until, index, Kind::timer);
}

void World::carry_out(std::uint32_t index, const attempt::Finish&) {
  log("request", index, "is answered");
  ++tally_.finished;
  end(index);
}

void World::carry_out(std::uint32_t index, const attempt::GiveUp& word) {
  log("request", index, "is refused:", name(word.failure.error_class), "retry-after",
      word.retry_after ? ms(*word.retry_after) : 0);
  ++tally_.gave_up;
  tally_.cut_after_content += word.committed == CommitPoint::content_sent;
  end(index);
}

void World::end(std::uint32_t index) {
  Request& request = requests_[index];
  poke(index);
  tally_.asked_again += request.referee->again();
  tally_.fallbacks += request.loop->fallbacks();
  rule(request.loop->records().size() == request.referee->calls(), "every attempt is on record");
  if (healed_ && first_group_offers(request) && !request.referee->hedged()) {
    rule(request.loop->attempts() <= 1 && request.loop->fallbacks() == 0,
         "with everybody healthy again, the first group answers at once");
  }
  fleet_.begin_step(index);
  request.loop.reset();
  fleet_.end_step();
  request.ended = true;
}

// Whatever a driver may still report after the end, nothing follows.
void World::poke(std::uint32_t index) {
  static const std::vector<attempt::Event> kEvents = {
      attempt::TimerFired{},     attempt::HeadArrived{},
      attempt::ContentStarted{}, attempt::StaleConnection{},
      attempt::Completed{},      attempt::Failed{failed_with(ErrorClass::unavailable)}};
  Request& request = requests_[index];
  const SimulatedFleet::Step& step = fleet_.begin_step(index);
  for (const attempt::Event& event : kEvents) {
    const attempt::Action action = request.loop->next(event, now_);
    request.referee->judge(action, *request.loop, step, now_);
  }
  fleet_.end_step();
}

// --- and in the end ------------------------------------------------------------------------------

bool World::first_group_offers(const Request& request) const {
  const auto endpoint = static_cast<std::size_t>(request.traits.endpoint);
  return std::ranges::any_of(config_.groups[0].deployments, [&](DeploymentIndex each) {
    return !config_.at(each).targets[endpoint].empty();
  });
}

// All upstreams are well and the longest bench is over: every request is answered at once by the
// group it asked for.
void World::heal_and_check() {
  for (Upstream& upstream : upstreams_) upstream.heal();
  for (std::uint32_t i = 0; i < config_.deployments.size(); ++i) {
    now_ = std::max(now_, fleet_.book(DeploymentIndex{i}).until());
  }
  healed_ = true;
  log("everybody is healthy from now on");
  const std::uint64_t before = tally_.finished;
  unsigned answerable = 0;
  for (unsigned i = 0; i < kRequestsAfterHealing; ++i) {
    now_ += seconds(1);
    const auto index = static_cast<std::uint32_t>(requests_.size());
    requests_.emplace_back();
    schedule(now_, index, Kind::begin);
    run_agenda();
    answerable += first_group_offers(requests_[index]);
  }
  rule(tally_.finished - before >= answerable, "everybody who can be answered is, in the end");
}

}  // namespace spillway::simulation
