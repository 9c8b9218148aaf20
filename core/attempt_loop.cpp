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
      itinerary_(config, fleet, std::move(model), traits_) {}

AttemptLoop::~AttemptLoop() {
  if (!permit_) return;
  give_back_retry();
  if (!success_recorded_) fleet_.give_back(*permit_);
  fleet_.end(*permit_);
}

Action AttemptLoop::next(const attempt::Event& event, TimePoint now) {
  if (over_) return Continue{};
  Action action = std::visit([&](const auto& happened) { return on(happened, now); }, event);
  over_ = std::holds_alternative<Finish>(action) || std::holds_alternative<GiveUp>(action);
  return action;
}

// --- what happened -------------------------------------------------------------------------------

Action AttemptLoop::on(const attempt::Begin&, TimePoint now) {
  fleet_.count_request(group(), now);
  return decide(now);
}

Action AttemptLoop::on(const attempt::HeadArrived&, TimePoint) {
  give_back_retry();
  return Continue{};
}

Action AttemptLoop::on(const attempt::HeadSent&, TimePoint) {
  committed_ = std::max(committed_, CommitPoint::head_sent);
  return Continue{};
}

// Content is the proof of health that waiting requests wait for: a probe closes its bench now, not
// at the end of a long stream. Other calls succeed when they end: a deployment that cuts every
// stream midway must not look half healthy.
Action AttemptLoop::on(const attempt::ContentStarted&, TimePoint now) {
  if (!permit_) return Continue{};
  give_back_retry();
  note_time(now);
  committed_ = CommitPoint::content_sent;
  if (permit_->probe && !success_recorded_) {
    content_change_ = fleet_.succeeded(*permit_, now);
    success_recorded_ = true;
  }
  return Continue{};
}

Action AttemptLoop::on(const attempt::Completed&, TimePoint now) {
  if (!permit_) return Continue{};
  settle(nullptr, now);
  return Finish{};
}

Action AttemptLoop::on(const attempt::Failed& event, TimePoint now) {
  if (!permit_) return Continue{};
  Failure failure = event.failure;
  // Behind a wildcard the client made the model's name up: an unknown one says nothing about the
  // deployment, and must not bench it for everybody else.
  if (failure.error_class == ErrorClass::not_found && config_.at(group()).wildcard)
    failure.concerns_deployment = false;
  const DeploymentIndex deployment = permit_->deployment;
  settle(&failure, now);
  if (failure.error_class == ErrorClass::client_closed)
    return GiveUp{.failure = failure, .committed = committed_, .retry_after = {}};
  if (committed_ == CommitPoint::content_sent) {
    visit().note_failure(deployment, failure, now);
    return resume(attempt::Failed{failure, event.resumable}, now);
  }

  // A verdict on the request tells the client more than the trouble met on the way to it.
  if (itinerary_.fallbacks() == 0 && (!first_failure_ || is_verdict(failure)))
    first_failure_ = failure;
  visit().note_failure(deployment, failure, now);
  const bool hopeless = recourse(failure).elsewhere == Elsewhere::nowhere;
  return hopeless || !config_.router.failover ? give_up(now) : decide(now);
}

// Another deployment of the group, then the fallbacks; nobody is waited for or asked again. The
// client is told what broke its stream, not what came of the attempts to mend it.
Action AttemptLoop::resume(const attempt::Failed& event, TimePoint now) {
  if (!stream_failure_) stream_failure_ = event.failure;
  const GiveUp broken{.failure = *stream_failure_, .committed = committed_, .retry_after = {}};
  if (!event.resumable || !config_.stream_recovery || !config_.router.failover ||
      event.failure.excused)
    return broken;
  const DeploymentIndex failed = call_.deployment;
  const bool rejected = recourse(event.failure).elsewhere == Elsewhere::nowhere;
  // It may only have refused to continue another's words.
  if (rejected && call_.resume == Resume::prefix) {
    if (auto action = call(failed, now)) {
      call_.resume = Resume::afresh;
      return call_;
    }
  }
  if (is_verdict(event.failure) && call_.resume == Resume::no) return broken;
  do {
    if (auto action = ask_fresh(now)) {
      const bool prefix = traits_.endpoint == Endpoint::chat_completions &&
                          config_.at(call_.deployment).assistant_prefill;
      call_.resume = prefix ? Resume::prefix : Resume::afresh;
      return call_;
    }
  } while (enter_fallback(now));
  return broken;
}

// The pooled connection had been closed by the other side before this request came: the same
// attempt goes on.
Action AttemptLoop::on(const attempt::StaleConnection&, TimePoint now) {
  if (!permit_) return Continue{};
  if (call_.connection == Call::Connection::pooled) {
    call_.connection = Call::Connection::fresh;
    return call_;
  }
  Failure failure;
  failure.error_class = ErrorClass::connection;
  failure.status = default_status(ErrorClass::connection);
  failure.type = openai_type(ErrorClass::connection);
  failure.message = "The connection to the provider was closed before it answered.";
  failure.detail = "a new connection was closed before any response byte";
  return on(attempt::Failed{std::move(failure)}, now);
}

Action AttemptLoop::on(const attempt::TimerFired&, TimePoint now) {
  if (permit_) return Continue{};
  return decide(now);
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

  if (!draw_retry(now)) {
    visit().forgo_retries();
    return wait_or_ask_again(now);
  }
  if (auto action = call(soonest->deployment, now)) return action;
  give_back_retry();
  soonest->at = now + bounds::kProbePoll;
  soonest->holdup = Holdup::probe;
  return worth_waiting_for(*soonest, now) ? std::optional(wait(*soonest, now)) : std::nullopt;
}

std::optional<Action> AttemptLoop::ask_last_resort(TimePoint now) {
  if (last_resort_used_ || !config_.router.failover || !may_ask_fresh()) return std::nullopt;
  const auto deployment = visit().least_recently_failed(now);
  if (!deployment || !draw_retry(now)) return std::nullopt;
  last_resort_used_ = true;
  auto action = call(*deployment, now, DeploymentHealth::Force::yes);
  if (!action) give_back_retry();  // another worker took its last room
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
  // Whoever asks for a deployment by its id gets it, as the client's own choice.
  if (visit().model().deployment) force = DeploymentHealth::Force::yes;
  permit_ = fleet_.begin(deployment, now, force, traits_.tokens);
  if (!permit_) return std::nullopt;
  success_recorded_ = false;
  content_change_ = HealthChange::none;
  if (!visit().has_failed(deployment)) ++fresh_calls_;
  visit().note_call(deployment);
  call_ = Call{.deployment = deployment,
               .upstream_model = substitute(config_.at(deployment).model, visit().model().captures),
               .deadline = now};
  set_deadline(call_, now);
  return call_;
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
  const Duration needed = prospect.at - now;
  switch (prospect.holdup) {
    case Holdup::backoff:
      return true;
    case Holdup::named: {
      // The jitter is ours: it must not spoil a wait that is short enough by the upstream's own
      // word.
      const auto jitter =
          std::chrono::duration_cast<Duration>(config_.router.max_wait * bounds::kCooldownJitter);
      return needed <= patience + jitter;
    }
    case Holdup::full:  // a queue that moves, not an outage: it is worth the wait before a fallback
      return needed <= patience;
    case Holdup::cooldown:
    case Holdup::breaker:
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
  fleet_.count_request(group(), now);
  return true;
}

// --- what is held --------------------------------------------------------------------------------

bool AttemptLoop::draw_retry(TimePoint now) {
  retry_drawn_ = fleet_.draw_retry(group(), now);
  return retry_drawn_;
}

void AttemptLoop::give_back_retry() {
  if (std::exchange(retry_drawn_, false)) fleet_.give_back_retry(group());
}

// Up to the first content, or to the whole answer: what comes later says how long it is.
void AttemptLoop::note_time(TimePoint now) {
  if (committed_ != CommitPoint::content_sent) fleet_.first_token(*permit_, delivery(traits_), now);
}

// The attempt is over: its permit and its share of the budget go back, and it is put on record.
void AttemptLoop::settle(const Failure* failure, TimePoint now) {
  give_back_retry();
  // A deadline that passed in vain says how slow it is, at least.
  if (!failure || (failure->error_class == ErrorClass::timeout && !failure->client_deadline))
    note_time(now);
  HealthChange change = content_change_;
  if (!failure) {
    if (!success_recorded_) change = fleet_.succeeded(*permit_, now);
    if (traits_.affinity) fleet_.pin(group(), *traits_.affinity, permit_->deployment, now);
  } else if (failure->error_class != ErrorClass::client_closed) {
    change = fleet_.failed(*permit_, *failure, visit().benching(), now);
  } else if (!success_recorded_) {
    fleet_.give_back(*permit_);
  }
  fleet_.end(*permit_);
  records_.push_back({permit_->deployment,
                      failure ? std::optional(failure->error_class) : std::nullopt, change,
                      now - permit_->begun});
  permit_.reset();
}

}  // namespace spillway
