#include "core/attempt_loop.hpp"
#include "core/continuation.hpp"
#include "core/recourse.hpp"

// Who goes on with a stream that broke after content was sent.
namespace spillway {

using attempt::Action;
using attempt::Call;
using attempt::GiveUp;

// Another deployment of the group, then the fallbacks; nobody is waited for or asked again. The
// client is told what broke its stream, not what came of the attempts to mend it.
Action AttemptLoop::resume(const Slot& cut, const attempt::Failed& event, TimePoint now) {
  if (!stream_failure_) stream_failure_ = std::make_unique<Failure>(event.failure);
  const GiveUp broken{.failure = *stream_failure_, .committed = committed_, .retry_after = {}};
  if (!event.resumable || !config_.stream_recovery || !config_.router.failover) return broken;
  const Resume asked_to = cut.call.resume;
  const bool by_prefix = asked_to == Resume::prefix;
  const bool rejected = by_prefix && recourse(event.failure).elsewhere == Elsewhere::nowhere;
  const bool unheeded = by_prefix && event.begun_anew;
  Call& next = first_.call;
  // It may only have refused to continue another's words, or have paid no heed to them.
  if (rejected || unheeded) {
    if (call(cut.call.deployment, now)) {
      next.resume = Resume::afresh;
      return next;
    }
  }
  if (event.failure.excused && !unheeded) return broken;
  if (is_verdict(event.failure) && asked_to == Resume::no) return broken;
  do {
    if (ask_fresh(now)) {
      const bool prefix = event.by_prefix && traits_.endpoint == Endpoint::chat_completions &&
                          continues_by_prefix(config_.at(next.deployment));
      next.resume = prefix ? Resume::prefix : Resume::afresh;
      return next;
    }
  } while (enter_fallback(now));
  return broken;
}

// Whoever is benched now may be back by then.
bool AttemptLoop::others_left() const {
  if (!config_.stream_recovery || !config_.router.failover) return false;
  const Slot& answering = hedging() ? *hedge_ : first_;
  return (may_ask_fresh() && visit().others_left(answering.call.deployment)) || fallback_left();
}

}  // namespace spillway
