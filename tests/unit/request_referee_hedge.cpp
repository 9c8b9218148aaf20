#include <algorithm>

#include "tests/unit/request_referee.hpp"

// When a second call is made because the first is slow, and whom it may go to.
namespace spillway::simulation {

// Somebody untried, who is not the slow one.
bool RequestReferee::any_to_hedge(const Visit& visit, TimePoint now) const {
  return std::ranges::any_of(at(visit).deployments, [&](DeploymentIndex deployment) {
    return deployment != legs_[0].calling->deployment && is_fresh(visit, deployment, now);
  });
}

// Two visits may be of one wildcard's group: the model tells which one it is.
RequestReferee::Visit& RequestReferee::visit_of_hedge(const attempt::Call& call, TimePoint now) {
  const Deployment& deployment = config_.at(call.deployment);
  const bool here = deployment.group == group() &&
                    substitute(deployment.model, visit().model.captures) == call.upstream_model &&
                    !find(visit(), call.deployment) &&
                    call.deployment != legs_[0].calling->deployment && may_ask_fresh(visit());
  if (here) return visit();
  rule(!any_to_hedge(visit(), now) || !may_ask_fresh(visit()),
       "a hedge goes to the fallback only where the group has nobody else");
  const auto next = next_fallback();
  rule(next.has_value(), "a hedge goes to the group's own fallback");
  if (!ahead_ || !(ahead_->model == *next)) ahead_ = Visit{*next};
  return *ahead_;
}

void RequestReferee::judge_hedge(const attempt::Call& call, Visit& visited, TimePoint now) {
  Leg& slow = legs_[0];
  Leg& leg = legs_[1];
  rule(hedge_due_ && !hedged_ && slow.calling && committed_ != CommitPoint::content_sent,
       "a request is hedged once, before its first content");
  rule(config_.router.hedge && config_.router.failover, "hedging is off unless asked for");
  rule(slow.calling->hedge_at && now >= *slow.calling->hedge_at, "a hedge waits for its time");
  const auto& after = config_.router.hedge->after;
  rule(!after || now >= slow.called + *after, "a hedge waits for the configured delay");
  rule(call.resume == Resume::no && !call.hedge_at, "a hedge is an ordinary first call");
  leg.ahead = &visited != &visit();
  leg.visit = visits_.size() - 1;
  rule(call.deployment != slow.calling->deployment && !find(visited, call.deployment) &&
           usable(visited, call.deployment),
       "a hedge goes to somebody untried");
  rule(leg.ahead ? fallback_left() : may_ask_fresh(visited), "hedges count towards max_attempts");
  leg.calling = call;
  leg.called = now;
  leg.draws_retry = true;
  hedged_ = true;
  ++fresh_;
  ++calls_;
  ++visited.calls;
}

// The time for a hedge has come, and none was made.
void RequestReferee::judge_hedge_due(const SimulatedFleet::Step& step, TimePoint now) {
  if (hedged_ || step.hedge_refused || !legs_[0].calling) return;
  if (committed_ == CommitPoint::content_sent) return;
  rule(!may_ask_fresh(visit()) || !any_to_hedge(visit(), now), "a hedge that can be made is made");
  const auto next = next_fallback();
  if (!next) return;
  rule(!any_to_hedge(Visit{*next}, now), "a hedge that the fallback can take is made");
}

}  // namespace spillway::simulation
