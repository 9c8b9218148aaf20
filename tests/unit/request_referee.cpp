#include "tests/unit/request_referee.hpp"

#include <algorithm>
#include <limits>
#include <utility>
#include <variant>

namespace spillway::simulation {

using attempt::Call;
using attempt::Continue;
using attempt::Finish;
using attempt::GiveUp;
using attempt::Wait;

RequestReferee::RequestReferee(const Config& config, const SimulatedFleet& fleet,
                               std::uint32_t request, ModelMatch model, RequestTraits traits,
                               TimePoint now)
    : config_(config), fleet_(fleet), request_(request), traits_(std::move(traits)), begun_(now) {
  visits_.push_back({std::move(model)});
}

// --- what happened -------------------------------------------------------------------------------

void RequestReferee::note_failure(const attempt::Failed& event, TimePoint now) {
  const Failure& failure = event.failure;
  Leg& leg = at(event.leg);
  if (!leg.calling) return;
  const DeploymentIndex deployment = leg.calling->deployment;
  Visit& visited = visit_of(leg);
  last_call_ = *leg.calling;
  leg.draws_retry = false;
  leg.calling.reset();
  last_failure_ = failure;
  // The simulation's clients never name what only one provider has.
  const bool missing = failure.error_class == ErrorClass::not_found;
  const bool made_up = missing && at(visited).wildcard;
  const bool unexplained = !failure.concerns_deployment &&
                           (missing || failure.error_class == ErrorClass::permission_denied);
  if (committed_ == CommitPoint::content_sent) {
    last_failure_->concerns_deployment &= !made_up;
  } else if (made_up || unexplained) {
    last_failure_->concerns_deployment = true;
    last_failure_->excused = true;
  }
  const Row row = table(*last_failure_);
  if (failure.error_class == ErrorClass::client_closed) return;
  resumable_ = event.resumable;
  prefix_allowed_ = event.by_prefix;
  unheeded_ = event.begun_anew && last_call_.resume == Resume::prefix;
  if (committed_ == CommitPoint::content_sent) {
    if (!broke_stream_) broke_stream_ = failure;
  } else if (&visited == &visits_.front() && (!expected_ || row.where != Where::anywhere)) {
    expected_ = last_failure_;
  }
  hopeless_ |= row.where == Where::nowhere && committed_ != CommitPoint::content_sent;
  visited.content_rejected |= row.where == Where::rejected_list;
  visited.window_exceeded |= row.where == Where::larger_window;

  auto mine = std::ranges::find(visited.asked, deployment, &Asked::deployment);
  if (mine == visited.asked.end())
    mine = visited.asked.insert(mine, Asked{deployment, 0, {}, {}, {}});
  const Duration full = doubling(milliseconds(500), mine->calls, seconds(8));
  const Duration least = config_.router.retry_after;
  const bool exact = failure.hint || mine->calls >= 3;
  Duration pause = failure.hint ? failure.hint->delay : full;
  if (failure.hint && mine->calls > 0) pause = std::max<Duration>(pause, milliseconds(500));
  mine->earliest = now + std::max(exact ? pause : Duration::zero(), least);
  mine->latest = now + std::max(pause, least);
  ++mine->calls;
  mine->last = *last_failure_;
  if (failure.error_class == ErrorClass::rate_limit && !failure.hint) {
    mine->limited.push_back(leg.called);
  } else {
    mine->limited.clear();
  }
}

void RequestReferee::note_head_sent() {
  committed_ = std::max(committed_, CommitPoint::head_sent);
}

void RequestReferee::note_content(attempt::Leg leg) {
  if (!at(leg).calling) return;
  at(leg).draws_retry = false;
  settle_on(leg);
  committed_ = CommitPoint::content_sent;
}

void RequestReferee::note_complete(attempt::Leg leg) {
  if (!at(leg).calling) return;
  settle_on(leg);
  at(leg).draws_retry = false;
}

// The other leg, if any, has lost.
void RequestReferee::settle_on(attempt::Leg winner) {
  Leg& mine = at(winner);
  Leg& other = winner == attempt::Leg::first ? legs_[1] : legs_[0];
  if (other.calling) {
    if (winner == attempt::Leg::hedge) visit_of(other).outrun = other.calling->deployment;
    other.calling.reset();
    other.draws_retry = false;
  }
  if (!mine.ahead) return;
  enter(*std::exchange(ahead_, std::nullopt));
}

// Whoever is under way there is now in the group being visited.
void RequestReferee::enter(Visit next) {
  if (visit().content_rejected) pending_.clear();
  const auto& own = fallbacks_of(visit());
  pending_.insert(pending_.end(), own.begin(), own.end());
  visits_.push_back(std::move(next));
  Leg& hedge = legs_[1];
  if (!std::exchange(hedge.ahead, false)) return;
  hedge.visit = visits_.size() - 1;
}

// --- what the loop wants done --------------------------------------------------------------------

void RequestReferee::judge(const attempt::Action& action, const AttemptLoop& loop,
                           const SimulatedFleet::Step& step, TimePoint now) {
  if (over_) {
    rule(std::holds_alternative<Continue>(action), "nothing happens after the end");
    return;
  }
  const bool decided = std::holds_alternative<Call>(action) ||
                       std::holds_alternative<Wait>(action) ||
                       std::holds_alternative<GiveUp>(action);
  const auto* call = std::get_if<Call>(&action);
  const bool first_leg = !call || call->leg == attempt::Leg::first;
  if (decided && first_leg && !calling())  // else a hedge, or a call that goes on anew
    follow(loop, step, now);
  std::visit([&](const auto& what) { judge_action(what, step, now); }, action);
  last_failure_.reset();
  hedge_due_ = false;
  rule(loop.committed() == committed_, "the loop knows what the client was sent");
  rule(loop.attempts() == calls_, "every call is an attempt on record");
  const auto held = [this](auto holds) { return std::ranges::count_if(legs_, holds); };
  rule(held([](const Leg& leg) { return leg.calling.has_value(); }) ==
           static_cast<std::ptrdiff_t>(fleet_.permits(request_)),
       "a permit is held during a call");
  rule(held([](const Leg& leg) { return leg.draws_retry; }) ==
           static_cast<std::ptrdiff_t>(fleet_.retries(request_)),
       "the retry budget is drawn on by asking again, until the head arrives, and never else");
}

// Goes where the loop went: each group left behind had nothing more to offer, and each one entered
// was next on the list.
void RequestReferee::follow(const AttemptLoop& loop, const SimulatedFleet::Step& step,
                            TimePoint now) {
  rule(loop.fallbacks() <= config_.router.max_fallbacks, "fallbacks are bounded by max_fallbacks");
  while (true) {
    if (any_fresh(visit(), now) && !may_ask_fresh(visit())) visit().forgone = true;
    if (std::ranges::count(step.refused, group()) > 0) visit().refused = true;
    if (loop.fallbacks() + 1 <= visits_.size()) break;
    const bool resumes = committed_ == CommitPoint::content_sent;
    rule(!resumes || may_resume(), "after content only an exact continuation is tried");
    rule(resumes || !hopeless_, "what is wrong with the request is not tried elsewhere");
    leave(visit(), now);
    auto next = next_fallback();
    rule(next.has_value(), "a fallback is on the group's own list");
    const bool known = ahead_ && ahead_->model == *next;
    enter(known ? *std::exchange(ahead_, std::nullopt) : Visit{*next});
  }
  rule(loop.fallbacks() + 1 == visits_.size() && loop.group() == group(),
       "fallbacks are asked in their order");
}

void RequestReferee::leave(const Visit& left, TimePoint now) const {
  const auto end = end_of_time();
  if (end && now >= *end) return;
  rule(!any_fresh(left, now) || !may_ask_fresh(left),
       "a group is left only once nobody untried can be called");
  if (committed_ == CommitPoint::content_sent) return;  // a client reading a stream does not wait
  for (const Candidate& candidate : candidates(left, true, now)) {
    rule(!must_wait(candidate, now), "what is worth waiting for is waited for");
  }
}

void RequestReferee::judge_action(const Call& call, const SimulatedFleet::Step& step,
                                  TimePoint now) {
  const Deployment& deployment = config_.at(call.deployment);
  Leg& leg = at(call.leg);
  if (leg.calling) {  // a stale connection: the same call goes on
    rule(leg.calling->deployment == call.deployment && leg.calling->deadline == call.deadline,
         "a stale connection is replaced, and nothing else changes");
    rule(call.connection == Call::Connection::fresh && step.counted.empty(),
         "a stale connection is followed by a new one");
    leg.calling = call;
    return;
  }
  waiting_ = false;
  const bool hedges = call.leg == attempt::Leg::hedge;
  rule(hedges || !calling(), "two calls are made only for a hedge");
  // timeouts.total is for what comes before the first token.
  const auto end = end_of_time();
  const bool resumes = committed_ == CommitPoint::content_sent;
  TimePoint deadline = now + longest_call(deployment);
  if (end && !resumes) deadline = std::min(deadline, *end);
  rule(call.deadline == deadline && deadline > now, "a call is bounded by its own deadlines");
  Visit& visited = hedges ? visit_of_hedge(call, now) : visit();
  rule(at(visited).name == config_.at(deployment.group).name && offers(call.deployment),
       "a call goes to the group's own");
  rule(call.upstream_model == substitute(deployment.model, visited.model.captures),
       "a wildcard's model is passed on");
  rule(call.connection == Call::Connection::pooled, "a call begins on a pooled connection");
  if (hedges) return judge_hedge(call, visited, now);
  rule(resumes || !hopeless_, "what is wrong with the request is not tried elsewhere");
  const Asked* failed = find(visit(), call.deployment);
  if (resumes) judge_resumed(call);
  rule(resumes || call.resume == Resume::no, "a stream that has not begun is not resumed");
  if (!failed) {
    judge_fresh(call.deployment, step, now);
  } else if (!resumes) {
    judge_again(*failed, now, now);
  }
  leg.calling = call;
  leg.called = now;
  leg.visit = visits_.size() - 1;
  ++calls_;
  ++visit().calls;
}

// What was sent stays sent: another, untried, may go on from there, and one that only refused to
// begin its answer with another's words, or paid no heed to them, is asked once more without them.
void RequestReferee::judge_resumed(const Call& call) {
  rule(may_resume(), "after content only an exact continuation is tried");
  rule(call.resume != Resume::no, "after content a call continues what was sent");
  const bool prefix = prefix_allowed_ && traits_.endpoint == Endpoint::chat_completions &&
                      config_.at(call.deployment).assistant_prefill;
  if (!find(visit(), call.deployment)) {
    rule((call.resume == Resume::prefix) == prefix, "only who can continue a prefix is asked to");
    return;
  }
  const bool rejected = table(*last_failure_).where == Where::nowhere;
  rule(call.deployment == last_call_.deployment && last_call_.resume == Resume::prefix &&
           call.resume == Resume::afresh && (rejected || unheeded_),
       "who broke the stream is not asked to continue it");
}

void RequestReferee::judge_fresh(DeploymentIndex deployment, const SimulatedFleet::Step& step,
                                 TimePoint now) {
  rule(usable(visit(), deployment), "what was rejected goes only where it may be accepted");
  rule(may_ask_fresh(visit()), "calls to fresh deployments are bounded by max_attempts");
  ++fresh_;
  legs_[0].draws_retry = step.forced;
  if (step.forced) {
    judge_last_resort(deployment, now);
    last_resort_ = true;
    return;
  }
  const Deployment& picked = config_.at(deployment);
  constexpr int kLast = std::numeric_limits<int>::max();
  // The call itself may have taken the probe's place; everybody else is as before it.
  for (const DeploymentIndex other : at(visit()).deployments) {
    if (other == deployment || !is_fresh(visit(), other, now)) continue;
    rule(deployment != visit().outrun, "who was too slow once is asked again only at last");
    if (other == visit().outrun) continue;
    const int tier = config_.at(other).order.value_or(kLast);
    rule(tier >= picked.order.value_or(kLast), "the lowest order is asked first");
    const bool outweighs = picked.weight == 0 && config_.at(other).weight > 0;
    rule(tier != picked.order.value_or(kLast) || !outweighs,
         "a weight of 0 is for when nothing else is left");
  }
}

void RequestReferee::judge_last_resort(DeploymentIndex deployment, TimePoint now) const {
  rule(!last_resort_ && config_.router.failover, "one last resort a request");
  rule(!fallback_left(), "the last resort comes after every fallback");
  const HealthBook& chosen = fleet_.book(deployment);
  rule(is_broken(deployment, now), "a last resort ignores the breaker only");
  for (const DeploymentIndex other : at(visit()).deployments) {
    if (!usable(visit(), other) || find(visit(), other)) continue;
    const HealthBook& book = fleet_.book(other);
    rule(!book.by_breaker() || book.last_failure() >= chosen.last_failure(),
         "the last resort is the least recently failed");
  }
}

void RequestReferee::judge_again(const Asked& asked, TimePoint called, TimePoint now) {
  rule(config_.router.failover, "without failover nobody is asked again");
  rule(!any_fresh(visit(), now), "nobody is tried twice while an untried healthy one exists");
  rule(may_ask_again(visit(), asked, false),
       "asking again stays within what the class and num_retries say");
  rule(now >= asked.earliest, "asking again waits for the hint or the backoff");
  judge_limited(asked, called);
  legs_[0].draws_retry = true;
  ++visit().again;
  ++again_;
}

// A persistent 429 that says nothing about when must not be hammered.
void RequestReferee::judge_limited(const Asked& asked, TimePoint now) const {
  if (asked.limited.size() < asked.calls) return;
  const auto recent =
      std::ranges::count_if(asked.limited, [now](TimePoint at) { return now - at < seconds(3); });
  rule(recent + 1 <= 4, "a persistent 429 sees at most four calls in three seconds");
  rule(asked.limited.size() + 1 <= 6, "a persistent 429 sees at most six calls");
}

void RequestReferee::judge_action(const Wait& wait, const SimulatedFleet::Step& step,
                                  TimePoint now) {
  waiting_ = true;
  const auto end = end_of_time();
  rule(!calling() && committed_ != CommitPoint::content_sent, "nobody waits during a call");
  rule(config_.router.failover && wait.until > now, "a wait is for something to come");
  rule(!end || wait.until < *end, "nobody waits beyond timeouts.total");
  rule(!any_fresh(visit(), now), "nobody waits while an untried deployment can be called");

  bool possible = false;
  bool only_breaker = true;
  bool may_be_backoff = false;
  bool may_be_other = false;
  for (const Candidate& candidate : candidates(visit(), true, now)) {
    if (worth_waiting(candidate, true, now) && !candidate.breaker)
      rule(wait.until <= candidate.latest, "the soonest is waited for");
  }
  for (const Candidate& candidate : candidates(visit(), false, now)) {
    if (wait.until < candidate.earliest || wait.until > candidate.latest) continue;
    if (!worth_waiting(candidate, false, now)) continue;
    possible = true;
    only_breaker &= candidate.breaker;
    (candidate.backoff ? may_be_backoff : may_be_other) = true;
  }
  rule(possible, "a wait ends when somebody may be asked, and is worth it");
  rule(!only_breaker || !owes_last_resort(step, now), "the last resort comes before the breaker");
  if (!may_be_backoff) waited_least_ += wait.until - now;
  if (may_be_other) waited_most_ += wait.until - now;
  rule(waited_least_ <= with_jitter(config_.router.max_wait), "waits are bounded by max_wait");
}

void RequestReferee::judge_action(const Finish&, const SimulatedFleet::Step&, TimePoint) {
  rule(calling(), "only a call finishes a request");
  for (Leg& leg : legs_) leg.calling.reset();
  over_ = true;
}

void RequestReferee::judge_action(const Continue&, const SimulatedFleet::Step& step,
                                  TimePoint now) {
  rule(!last_failure_ || calling(), "a failure is answered by an action, or by the other leg");
  rule(calling() || waiting_, "something goes on");
  if (hedge_due_) judge_hedge_due(step, now);
}

void RequestReferee::judge_action(const GiveUp& end, const SimulatedFleet::Step& step,
                                  TimePoint now) {
  rule(!calling(), "nobody gives up during a call");
  rule(end.committed == committed_, "the end says what the client was sent");
  rule(!(end.retry_after && end.should_not_retry), "never both: when to retry, and not to");
  rule(!end.retry_after || *end.retry_after > Duration::zero(), "a recovery is in the future");
  over_ = true;
  const bool left = last_failure_ && last_failure_->error_class == ErrorClass::client_closed;
  if (left || committed_ == CommitPoint::content_sent) {
    const Failure& told = left ? *last_failure_ : *broke_stream_;
    rule(end.failure.message == told.message, "what cut the answer is what is said");
    rule(!end.retry_after && !end.should_not_retry, "a cut answer says nothing about retries");
    if (left || !may_resume()) return;
    rule(!fallback_left(), "a stream that can be continued goes to the fallback");
    leave(visit(), now);
    return;
  }
  judge_reason_to_end(step, now);
  judge_last_word(end, now);
}

void RequestReferee::judge_reason_to_end(const SimulatedFleet::Step& step, TimePoint now) const {
  const auto time_over = end_of_time();
  if (time_over && now >= *time_over) return;
  if (hopeless_) return;
  if (last_failure_ && !config_.router.failover) return;
  rule(!fallback_left(), "nobody gives up while a fallback is left");
  leave(visit(), now);
  rule(!owes_last_resort(step, now), "a blip of all does not become our outage");
}

void RequestReferee::judge_last_word(const GiveUp& end, TimePoint now) const {
  if (expected_) {
    rule(end.failure.message == expected_->message &&
             end.failure.error_class == expected_->error_class,
         "the client is told the first group's error, a verdict before all");
  } else {
    judge_refusal(end.failure);
  }
  std::optional<TimePoint> soonest;
  const bool verdict = expected_ && table(*expected_).where != Where::anywhere;
  if (!verdict) {
    for (const Visit& each : visits_) {
      const auto back = recovery(each, now);
      if (back && (!soonest || *back < *soonest)) soonest = back;
    }
  }
  rule(end.retry_after.has_value() == soonest.has_value(),
       "retry-after is given where the recovery is known");
  // A backoff's jitter is not shown to clients: only hints and benches make recoveries.
  rule(!soonest || now + *end.retry_after == *soonest, "retry-after is the soonest recovery");
  const int status = end.failure.status;
  const bool sdk_retries = status == 408 || status == 409 || status == 429 || status >= 500;
  rule(end.should_not_retry == (!verdict && !soonest && calls_ > 1 && sdk_retries),
       "x-should-retry: false stands for retries already made");
}

void RequestReferee::judge_refusal(const Failure& failure) const {
  const Visit& first = visits_.front();
  const auto& deployments = at(first).deployments;
  const bool offered = std::ranges::any_of(deployments, [&](auto d) { return offers(d); });
  const bool limited = std::ranges::any_of(deployments, [&](DeploymentIndex deployment) {
    const HealthBook& book = fleet_.book(deployment);
    return offers(deployment) && book.benched() && is_rate_limit(book.cause());
  });
  if (!deployments.empty() && !offered) {
    rule(failure.status == 404, "an endpoint that nobody offers is not found");
  } else {
    rule(failure.status == (limited ? 429 : 503), "all cooling is 429 for limits, else 503");
  }
  rule(failure.upstream_status == 0, "a refusal is the gateway's own");
}

}  // namespace spillway::simulation
