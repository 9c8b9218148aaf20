#include "core/held_call.hpp"

#include <utility>

namespace spillway {

HeldCall::~HeldCall() {
  give_back_retry();
  if (!permit_) return;
  if (!judged_) fleet_.give_back(*permit_);
  fleet_.end(*permit_);
}

bool HeldCall::draw_retry(GroupIndex group, TimePoint now) {
  if (fleet_.draw_retry(group, now)) retry_of_ = group;
  return retry_of_.has_value();
}

bool HeldCall::draw_hedge(GroupIndex group, TimePoint now) {
  if (fleet_.draw_hedge(group, now)) retry_of_ = group;
  return retry_of_.has_value();
}

void HeldCall::give_back_retry() {
  if (const auto group = std::exchange(retry_of_, std::nullopt)) fleet_.give_back_retry(*group);
}

bool HeldCall::begin(DeploymentIndex deployment, DeploymentHealth::Force force,
                     std::uint64_t tokens, bool resumed, TimePoint now) {
  permit_ = fleet_.begin(deployment, now, force, tokens);
  timed_ = resumed;
  judged_ = false;
  change_ = HealthChange::none;
  return permit_.has_value();
}

// Content is the proof of health that waiting requests wait for: a probe closes its bench now, not
// at the end of a long stream. Other calls succeed when they end: a deployment that cuts every
// stream midway must not look half healthy.
void HeldCall::content_started(TimePoint now) {
  give_back_retry();
  note_time(now);
  if (!permit_->probe || judged_) return;
  change_ = fleet_.succeeded(*permit_, now);
  judged_ = true;
}

AttemptRecord HeldCall::answered(TimePoint now) {
  note_time(now);
  if (!judged_) change_ = fleet_.succeeded(*permit_, now);
  return end({.deployment = permit_->deployment, .error_class = {}, .change = change_}, now);
}

AttemptRecord HeldCall::failed(const Failure& failure, Benching benching, TimePoint now) {
  const ErrorClass error_class = failure.error_class;
  // A deadline that passed in vain says how slow it is, at least.
  if (error_class == ErrorClass::timeout && !failure.client_deadline) note_silence(now);
  if (error_class != ErrorClass::client_closed) {
    change_ = fleet_.failed(*permit_, failure, benching, now);
  } else if (!judged_) {
    fleet_.give_back(*permit_);
  }
  return end({.deployment = permit_->deployment, .error_class = error_class, .change = change_},
             now);
}

// Being slower than another is no failure, but the first leg has shown how slow it is, at least.
AttemptRecord HeldCall::outrun(TimePoint now) {
  if (leg_ == attempt::Leg::first) note_silence(now);
  fleet_.give_back(*permit_);
  AttemptRecord record{.deployment = permit_->deployment, .error_class = {}};
  record.outrun = true;
  return end(record, now);
}

AttemptRecord HeldCall::abandoned(ErrorClass why, TimePoint now) {
  if (!judged_) fleet_.give_back(*permit_);
  return end({.deployment = permit_->deployment, .error_class = why, .change = change_}, now);
}

// Up to the first content, or to the whole answer: what comes later says how long it is.
void HeldCall::note_time(TimePoint now) {
  if (!std::exchange(timed_, true)) fleet_.first_token(*permit_, delivery_, now);
}

void HeldCall::note_silence(TimePoint now) {
  if (!std::exchange(timed_, true)) fleet_.silent_so_far(*permit_, delivery_, now);
}

AttemptRecord HeldCall::end(AttemptRecord record, TimePoint now) {
  give_back_retry();
  record.took = now - permit_->begun;
  record.leg = leg_;
  fleet_.end(*permit_);
  permit_.reset();
  return record;
}

}  // namespace spillway
