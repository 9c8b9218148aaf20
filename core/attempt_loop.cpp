#include "core/attempt_loop.hpp"

#include <algorithm>
#include <utility>

#include "core/bounds.hpp"
#include "core/recourse.hpp"

namespace spillway {

using attempt::Action;
using attempt::Call;
using attempt::Continue;
using attempt::Finish;
using attempt::GiveUp;
using attempt::Wait;

namespace {

Delivery delivery(const RequestTraits& traits) {
  return traits.streaming ? Delivery::streamed : Delivery::whole;
}

}  // namespace

AttemptLoop::AttemptLoop(const Config& config, Fleet& fleet, ModelMatch model, RequestTraits traits,
                         TimePoint now)
    : config_(config),
      fleet_(fleet),
      traits_(std::move(traits)),
      begun_(now),
      itinerary_(config, fleet, std::move(model), traits_),
      first_(fleet, traits_, attempt::Leg::first) {}

AttemptLoop::Slot::Slot(Fleet& fleet, const RequestTraits& traits, attempt::Leg leg)
    : held(fleet, delivery(traits), leg) {}

Action AttemptLoop::next(const attempt::Event& event, TimePoint now) {
  if (over_) return Continue{};
  Action action = std::visit([&](const auto& happened) { return on(happened, now); }, event);
  over_ = std::holds_alternative<Finish>(action) || std::holds_alternative<GiveUp>(action);
  return action;
}

void AttemptLoop::abandon(ErrorClass why, TimePoint now) {
  over_ = true;
  for (Slot* const slot : {&first_, hedge_.get()})
    if (slot && slot->held.active()) records_.push_back(slot->held.abandoned(why, now));
}

// --- what happened -------------------------------------------------------------------------------

// Time counts from here: the request may have waited for its turn.
Action AttemptLoop::on(const attempt::Begin&, TimePoint now) {
  begun_ = now;
  fleet_.count_request(group(), now);
  return decide(now);
}

Action AttemptLoop::on(const attempt::HeadArrived& event, TimePoint) {
  slot(event.leg).held.give_back_retry();
  return Continue{};
}

Action AttemptLoop::on(const attempt::HeadSent&, TimePoint) {
  committed_ = std::max(committed_, CommitPoint::head_sent);
  return Continue{};
}

Action AttemptLoop::on(const attempt::ContentStarted& event, TimePoint now) {
  Slot& winner = slot(event.leg);
  if (!winner.held.active()) return Continue{};
  settle_on(winner, now);
  winner.held.content_started(now);
  committed_ = CommitPoint::content_sent;
  return Continue{};
}

Action AttemptLoop::on(const attempt::Completed& event, TimePoint now) {
  Slot& winner = slot(event.leg);
  if (!winner.held.active()) return Continue{};
  settle_on(winner, now);
  records_.push_back(winner.held.answered(now));
  if (traits_.affinity) fleet_.pin(group(), *traits_.affinity, winner.call.deployment, now);
  return Finish{};
}

Action AttemptLoop::on(const attempt::Failed& event, TimePoint now) {
  Slot& failed = slot(event.leg);
  if (!failed.held.active()) return Continue{};
  GroupVisit& visited = *failed.visit;
  Failure failure = event.failure;
  excuse(failure, visited);
  records_.push_back(failed.held.failed(failure, visited.benching(), now));
  if (failure.error_class == ErrorClass::client_closed)
    return GiveUp{.failure = failure, .committed = committed_, .retry_after = {}};
  if (committed_ == CommitPoint::content_sent) {
    visited.note_failure(failed.call.deployment, failure, now);
    attempt::Failed broken = event;
    broken.failure = std::move(failure);
    return resume(failed, broken, now);
  }

  // A verdict on the request tells the client more than the trouble met on the way to it.
  if (&visited == &itinerary_.first() && (!first_failure_ || is_verdict(failure)))
    first_failure_ = std::make_unique<Failure>(failure);
  visited.note_failure(failed.call.deployment, failure, now);
  hopeless_ |= recourse(failure).elsewhere == Elsewhere::nowhere;
  if (calling()) return Continue{};  // the other leg may still answer
  return hopeless_ || !config_.router.failover ? give_up(now) : decide(now);
}

// A 403 or 404 that does not say what it concerns may be the client's own mistake or the
// deployment's: another may answer, and nobody is benched for it. Where a client names things that
// only one provider has (an earlier response), it is the client's. Behind a wildcard the client
// made the model's name up: an unknown one says nothing about the deployment.
void AttemptLoop::excuse(Failure& failure, const GroupVisit& visited) const {
  const bool missing = failure.error_class == ErrorClass::not_found;
  if (!missing && failure.error_class != ErrorClass::permission_denied) return;
  const bool made_up = missing && config_.at(visited.group()).wildcard;
  // Whoever refuses to go on with another's stream refuses that.
  if (committed_ == CommitPoint::content_sent) {
    failure.concerns_deployment &= !made_up;
    return;
  }
  const bool unexplained = !failure.concerns_deployment && traits_.endpoint != Endpoint::responses;
  if (!unexplained && !made_up) return;
  failure.excused = true;
  failure.concerns_deployment |= unexplained;
}

// The pooled connection had been closed by the other side before this request came: the same
// attempt goes on.
Action AttemptLoop::on(const attempt::StaleConnection& event, TimePoint now) {
  Slot& stale = slot(event.leg);
  if (!stale.held.active()) return Continue{};
  if (stale.call.connection == Call::Connection::pooled) {
    stale.call.connection = Call::Connection::fresh;
    return stale.call;
  }
  Failure failure;
  failure.error_class = ErrorClass::connection;
  failure.status = default_status(ErrorClass::connection);
  failure.type = openai_type(ErrorClass::connection);
  failure.message = "The connection to the provider was closed before it answered.";
  failure.detail = "a new connection was closed before any response byte";
  return on(attempt::Failed{std::move(failure), false, event.leg}, now);
}

Action AttemptLoop::on(const attempt::TimerFired&, TimePoint now) {
  return calling() ? Continue{} : decide(now);
}

// --- what is tried next, in this order -----------------------------------------------------------

Action AttemptLoop::decide(TimePoint now) {
  const auto end = end_of_time();
  if (end && now >= *end) return give_up(now);
  do {
    if (auto action = ask_fresh(now)) return *std::move(action);
    if (auto action = wait_or_ask_again(now)) return *std::move(action);
  } while (enter_fallback(now));
  if (auto action = ask_last_resort(now)) return *std::move(action);
  if (auto action = wait_for_breaker(now)) return *std::move(action);
  return give_up(now);
}

std::optional<Action> AttemptLoop::ask_fresh(TimePoint now) {
  std::vector<DeploymentIndex> refused;  // taken by another worker between the look and the grasp
  while (const auto deployment = visit().pick_fresh(refused, now)) {
    if (!may_ask_fresh()) {
      // Nobody is asked again while somebody is left who has not failed this request.
      visit().forgo_retries();
      return std::nullopt;
    }
    if (auto action = call(*deployment, now)) return action;
    refused.push_back(*deployment);
  }
  return std::nullopt;
}

// Only once nobody fresh can be called. Of all who may be asked later, the soonest.
std::optional<Action> AttemptLoop::wait_or_ask_again(TimePoint now) {
  if (!config_.router.failover) return std::nullopt;
  std::optional<Prospect> soonest;
  for (const Prospect& prospect : visit().prospects(now)) {
    if (prospect.holdup == Holdup::breaker || !worth_waiting_for(prospect, now)) continue;
    if (!soonest || prospect.at < soonest->at) soonest = prospect;
  }
  if (!soonest) return std::nullopt;
  if (soonest->at > now) return wait(*soonest, now);

  if (!first_.held.draw_retry(group(), now)) {
    visit().forgo_retries();
    return wait_or_ask_again(now);
  }
  if (auto action = call(soonest->deployment, now)) return action;
  first_.held.give_back_retry();
  soonest->at = now + bounds::kProbePoll;
  soonest->holdup = Holdup::probe;
  return worth_waiting_for(*soonest, now) ? std::optional(wait(*soonest, now)) : std::nullopt;
}

std::optional<Action> AttemptLoop::ask_last_resort(TimePoint now) {
  if (last_resort_used_ || !config_.router.failover || !may_ask_fresh()) return std::nullopt;
  const auto deployment = visit().least_recently_failed(now);
  if (!deployment || !first_.held.draw_retry(group(), now)) return std::nullopt;
  last_resort_used_ = true;
  auto action = call(*deployment, now, DeploymentHealth::Force::yes);
  if (!action) first_.held.give_back_retry();  // another worker took its last room
  return action;
}

std::optional<Action> AttemptLoop::wait_for_breaker(TimePoint now) {
  if (!config_.router.failover) return std::nullopt;
  std::optional<Prospect> soonest;
  for (const Prospect& prospect : visit().prospects(now)) {
    if (prospect.holdup != Holdup::breaker || !worth_waiting_for(prospect, now)) continue;
    if (!soonest || prospect.at < soonest->at) soonest = prospect;
  }
  return soonest ? std::optional(wait(*soonest, now)) : std::nullopt;
}

Action AttemptLoop::give_up(TimePoint now) {
  GiveUp result = last_word(now);
  result.committed = committed_;
  return result;
}

GiveUp AttemptLoop::last_word(TimePoint now) {
  GiveUp result;
  if (first_failure_ && is_verdict(*first_failure_)) {
    result.failure = *first_failure_;
    return result;
  }
  // Nobody there may take this request, ever: when somebody recovers does not matter.
  if (!first_failure_ && itinerary_.first().closed_to_request()) {
    result.failure = itinerary_.first().refusal(std::nullopt, now);
    return result;
  }
  result.retry_after = itinerary_.soonest_recovery(now);
  result.failure =
      first_failure_ ? *first_failure_ : itinerary_.first().refusal(result.retry_after, now);
  // Only where our own attempts stood in for those the client would make.
  result.should_not_retry =
      !result.retry_after && records_.size() > 1 && retried_by_clients(result.failure.status);
  return result;
}

// --- calling and waiting -------------------------------------------------------------------------

std::optional<Action> AttemptLoop::call(DeploymentIndex deployment, TimePoint now,
                                        DeploymentHealth::Force force) {
  Call& made = first_.call;
  if (!begin_call(first_, visit(), deployment, now, force)) return std::nullopt;
  made.hedge_at = hedge_time(made, now);
  return made;
}

bool AttemptLoop::begin_call(Slot& slot, GroupVisit& visited, DeploymentIndex deployment,
                             TimePoint now, DeploymentHealth::Force force) {
  // Whoever asks for a deployment by its id gets it, as the client's own choice.
  if (visited.model().deployment) force = DeploymentHealth::Force::yes;
  const bool resumes = committed_ == CommitPoint::content_sent;
  if (!slot.held.begin(deployment, force, traits_.tokens, resumes, now)) return false;
  if (!visited.has_failed(deployment)) ++fresh_calls_;
  visited.note_call(deployment);
  slot.visit = &visited;
  slot.call =
      Call{.deployment = deployment,
           .upstream_model = substitute(config_.at(deployment).model, visited.model().captures),
           .deadline = now,
           .leg = &slot == &first_ ? attempt::Leg::first : attempt::Leg::hedge};
  set_deadline(slot.call, now);
  return true;
}

Action AttemptLoop::wait(const Prospect& prospect, TimePoint now) {
  if (prospect.holdup != Holdup::backoff) waited_ += prospect.at - now;
  return Wait{prospect.at};
}

bool AttemptLoop::worth_waiting_for(const Prospect& prospect, TimePoint now) const {
  if (!prospect.again && !may_ask_fresh()) return false;
  if (prospect.at <= now) return true;
  const auto end = end_of_time();
  if (end && prospect.at >= *end) return false;
  const Duration patience = config_.router.max_wait - waited_;
  // The jitter is ours: it must not spoil a wait that is short enough without it.
  const auto jitter =
      std::chrono::duration_cast<Duration>(config_.router.max_wait * bounds::kCooldownJitter);
  const Duration needed = prospect.at - now;
  switch (prospect.holdup) {
    case Holdup::backoff:
      return true;
    case Holdup::named:
      return needed <= patience + jitter;
    case Holdup::full:  // a queue that moves, not an outage: it is worth the wait before a fallback
      return needed <= patience;
    case Holdup::cooldown:
    case Holdup::breaker:
      return needed <= patience + jitter && !fallback_left();
    case Holdup::probe:
      return needed <= patience && !fallback_left();
  }
  return false;
}

// While there is a fallback, the last call is kept for it: a large group that is down as a whole
// must not use up what would have been answered elsewhere.
bool AttemptLoop::may_ask_fresh() const {
  const unsigned most = std::max(config_.router.max_attempts, 1U);
  const unsigned kept = visit().called() && fallback_left() ? 1 : 0;
  return fresh_calls_ + kept < most;
}

// --- fallback groups -----------------------------------------------------------------------------

bool AttemptLoop::fallback_left() const {
  return config_.router.failover && fresh_calls_ < config_.router.max_attempts &&
         itinerary_.next() != nullptr;
}

bool AttemptLoop::enter_fallback(TimePoint now) {
  if (!fallback_left()) return false;
  itinerary_.advance();
  if (!visit().called()) fleet_.count_request(group(), now);  // else it was, for a hedge
  return true;
}

unsigned AttemptLoop::attempts() const {
  const unsigned under_way = (first_.held.active() ? 1 : 0) + (hedging() ? 1 : 0);
  return static_cast<unsigned>(records_.size()) + under_way;
}

}  // namespace spillway
