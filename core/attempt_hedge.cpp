#include <array>

#include "core/attempt_loop.hpp"

// Asking a second deployment when the first is slow to begin.
namespace spillway {

using attempt::Action;
using attempt::Continue;

// nullopt: this call is not hedged.
std::optional<TimePoint> AttemptLoop::hedge_time(const attempt::Call& call, TimePoint now) {
  const auto& rules = config_.router.hedge;
  // A deployment asked for by its id is the client's own choice, however slow it is.
  if (!rules || hedged_ || visit().model().deployment || !config_.router.failover ||
      committed_ == CommitPoint::content_sent)
    return std::nullopt;
  const Delivery delivery = traits_.streaming ? Delivery::streamed : Delivery::whole;
  const auto delay = rules->after ? rules->after : fleet_.p95_time(call.deployment, delivery);
  if (!delay || now + *delay >= call.deadline) return std::nullopt;
  return now + *delay;
}

Action AttemptLoop::on(const attempt::HedgeDue&, TimePoint now) {
  if (!first_.held.active() || hedged_ || committed_ == CommitPoint::content_sent)
    return Continue{};
  if (may_ask_fresh()) {
    if (auto action = hedge_in(visit(), now)) return *std::move(action);
  }
  if (!fallback_left()) return Continue{};
  if (auto action = hedge_in(itinerary_.ahead(), now)) return *std::move(action);
  return Continue{};
}

// nullopt: nobody else can be called there now, or the budget refuses.
std::optional<Action> AttemptLoop::hedge_in(GroupVisit& where, TimePoint now) {
  const std::array slow = {first_.call.deployment};
  const auto deployment = where.pick_fresh(slow, now);
  if (!deployment) return std::nullopt;
  if (!hedge_) hedge_ = std::make_unique<Slot>(fleet_, traits_, attempt::Leg::hedge);
  if (!hedge_->held.draw_hedge(group(), now)) return std::nullopt;
  const bool unasked = !where.called();
  if (!begin_call(*hedge_, where, *deployment, now, DeploymentHealth::Force::no)) {
    hedge_->held.give_back_retry();  // another worker took its last room
    return std::nullopt;
  }
  hedged_ = true;
  if (unasked) fleet_.count_request(where.group(), now);
  return hedge_->call;
}

void AttemptLoop::settle_on(Slot& winner, TimePoint now) {
  Slot* const other = &winner == &first_ ? hedge_.get() : &first_;
  if (other && other->held.active()) {
    records_.push_back(other->held.outrun(now));
    if (other == &first_) other->visit->note_outrun(other->call.deployment);
  }
  if (winner.visit != &visit()) itinerary_.go_ahead();
}

}  // namespace spillway
