// What is open to a request at an instant, as its referee sees it.

#include <algorithm>
#include <limits>

#include "request_referee.hpp"

namespace spillway::simulation {

const RequestReferee::Asked* RequestReferee::find(const Visit& visit, DeploymentIndex deployment) {
  const auto found = std::ranges::find(visit.asked, deployment, &Asked::deployment);
  return found == visit.asked.end() ? nullptr : &*found;
}

bool RequestReferee::offers(DeploymentIndex deployment) const {
  return !config_.at(deployment).targets[static_cast<std::size_t>(traits_.endpoint)].empty();
}

// The same model of the same provider at the same address, which found the request too long in a
// group left behind, unless this one declares a larger window.
bool RequestReferee::too_small_before(const Visit& visit, DeploymentIndex deployment) const {
  const Deployment& own = config_.at(deployment);
  for (const Visit& earlier : visits_) {
    if (&earlier == &visit) break;
    for (const Asked& asked : earlier.asked) {
      const Deployment& refused = config_.at(asked.deployment);
      const bool larger = refused.max_input_tokens && own.max_input_tokens &&
                          *own.max_input_tokens > *refused.max_input_tokens;
      if (asked.last.error_class == ErrorClass::context_window_exceeded && !larger &&
          refused.provider == own.provider && refused.origin == own.origin &&
          substitute(refused.model, earlier.model.captures) ==
              substitute(own.model, visit.model.captures))
        return true;
    }
  }
  return false;
}

// A group none of whose deployments is left by that is one whose windows are too small.
bool RequestReferee::windows_exceeded(const Visit& visit) const {
  if (visit.window_exceeded) return true;
  bool any = false;
  for (const DeploymentIndex deployment : at(visit).deployments) {
    if (!offers(deployment)) continue;
    if (!too_small_before(visit, deployment)) return false;
    any = true;
  }
  return any;
}

// Rejected content is for the fallbacks chosen for it; what was too long for a window is for a
// declared larger one.
bool RequestReferee::usable(const Visit& visit, DeploymentIndex deployment) const {
  if (visit.content_rejected || !offers(deployment)) return false;
  if (too_small_before(visit, deployment)) return false;
  if (!visit.window_exceeded) return true;
  const auto& window = config_.at(deployment).max_input_tokens;
  return window && std::ranges::all_of(visit.asked, [&](const Asked& asked) {
           if (asked.last.error_class != ErrorClass::context_window_exceeded) return true;
           const auto& too_small = config_.at(asked.deployment).max_input_tokens;
           return too_small && *window > *too_small;
         });
}

bool RequestReferee::is_fresh(const Visit& visit, DeploymentIndex deployment, TimePoint now) const {
  return !find(visit, deployment) && fleet_.could_be_called(deployment, now) &&
         usable(visit, deployment);
}

bool RequestReferee::any_fresh(const Visit& visit, TimePoint now) const {
  return std::ranges::any_of(at(visit).deployments,
                             [&](DeploymentIndex d) { return is_fresh(visit, d, now); });
}

bool RequestReferee::may_ask_fresh(const Visit& visit) const {
  const unsigned kept = visit.calls > 0 && fallback_left() ? 1 : 0;
  return fresh_ + kept < std::max(config_.router.max_attempts, 1U);
}

bool RequestReferee::may_ask_again(const Visit& visit, const Asked& asked, bool surely) const {
  if (visit.forgone || (surely && visit.refused) || !usable(visit, asked.deployment)) return false;
  const unsigned retries = config_.at(asked.deployment).num_retries.value_or(at(visit).num_retries);
  if (visit.again >= std::min(retries, 5U)) return false;
  switch (table(asked.last).again) {
    case Again::never:
      return false;
    case Again::once:
      return asked.calls == 1;
    case Again::while_retries_last:
      return true;
  }
  return false;
}

const std::vector<ModelMatch>& RequestReferee::fallbacks_of(const Visit& visit) const {
  const ModelGroup& group = at(visit);
  if (visit.content_rejected) return group.content_policy_fallbacks;
  if (windows_exceeded(visit) && group.context_window_fallbacks)
    return *group.context_window_fallbacks;
  return group.fallbacks;
}

std::optional<ModelMatch> RequestReferee::next_fallback() const {
  if (!config_.router.failover || fresh_ >= config_.router.max_attempts) return std::nullopt;
  if (visits_.size() > config_.router.max_fallbacks) return std::nullopt;
  const auto unvisited = [this](const std::vector<ModelMatch>& list) -> std::optional<ModelMatch> {
    for (const ModelMatch& model : list) {
      if (std::ranges::count(visits_, model, &Visit::model) == 0) return model;
    }
    return std::nullopt;
  };
  if (!visit().content_rejected) {
    if (auto model = unvisited(pending_)) return model;
  }
  return unvisited(fallbacks_of(visit()));
}

std::vector<RequestReferee::Candidate> RequestReferee::candidates(const Visit& visit, bool surely,
                                                                  TimePoint now) const {
  std::vector<Candidate> result;
  for (const DeploymentIndex deployment : at(visit).deployments) {
    const Asked* asked = find(visit, deployment);
    if (!usable(visit, deployment) || (asked && !may_ask_again(visit, *asked, surely))) continue;
    const HealthBook& book = fleet_.book(deployment);
    Candidate candidate{.earliest = now, .latest = now, .failed = asked != nullptr};
    if (book.waits_out_bench(now)) {
      candidate.earliest = candidate.latest = book.until();
      candidate.named = book.named();
      candidate.benched = true;
      candidate.breaker = book.by_breaker() && !book.named();
    } else if (!fleet_.could_be_called(deployment, now)) {
      candidate.earliest = candidate.latest = now + milliseconds(10);  // somebody's probe decides
    } else if (asked) {
      candidate.named = asked->last.hint.has_value();
      candidate.backoff = !candidate.named;
    } else {
      continue;  // fresh
    }
    if (asked) {
      candidate.earliest = std::max(candidate.earliest, asked->earliest);
      candidate.latest = std::max(candidate.latest, asked->latest);
    }
    result.push_back(candidate);
  }
  return result;
}

bool RequestReferee::worth_waiting(const Candidate& candidate, bool surely, TimePoint now) const {
  if (!candidate.failed && !may_ask_fresh(visit())) return false;
  const auto end = end_of_time();
  const TimePoint at = surely ? candidate.latest : candidate.earliest;
  if (end && at >= *end) return false;
  if (candidate.backoff) return true;
  Duration patience = config_.router.max_wait - (surely ? waited_most_ : waited_least_);
  if (!candidate.named && fallback_left()) return false;
  if (candidate.named || candidate.benched) {
    patience += with_jitter(config_.router.max_wait) - config_.router.max_wait;
    if (surely) patience -= Duration(1);
  }
  return at - now <= patience;
}

// True if the request may not go elsewhere, nor end, before this one was waited for. The breaker is
// waited for only at the very end, but no fallback is left then either.
bool RequestReferee::must_wait(const Candidate& candidate, TimePoint now) const {
  return config_.router.failover && worth_waiting(candidate, true, now);
}

// Nothing but our own breaker stands between the request and the deployment.
bool RequestReferee::is_broken(DeploymentIndex deployment, TimePoint now) const {
  const HealthBook& book = fleet_.book(deployment);
  if (book.waits_out_bench(now)) return book.by_breaker();
  return book.probing() && table(book.cause()).harm == Harm::breaks;
}

bool RequestReferee::owes_last_resort(const SimulatedFleet::Step& step, TimePoint now) const {
  if (last_resort_ || !config_.router.failover || fallback_left() || !may_ask_fresh(visit()))
    return false;
  if (std::ranges::count(step.refused, group()) > 0) return false;
  return std::ranges::any_of(at(visit()).deployments, [&](DeploymentIndex deployment) {
    return !find(visit(), deployment) && usable(visit(), deployment) && is_broken(deployment, now);
  });
}

// When the first of the group serves again. Not known if one of them may at any moment.
std::optional<TimePoint> RequestReferee::recovery(const Visit& visit, TimePoint now) const {
  std::optional<TimePoint> soonest;
  for (const DeploymentIndex deployment : at(visit).deployments) {
    if (!offers(deployment)) continue;
    const HealthBook& book = fleet_.book(deployment);
    TimePoint back = book.benched() ? book.until() : now;
    const Asked* asked = find(visit, deployment);
    if (asked && asked->last.hint) back = std::max(back, asked->latest);
    if (back <= now) return std::nullopt;
    if (!soonest || back < *soonest) soonest = back;
  }
  return soonest;
}

bool RequestReferee::may_resume() const {
  if (!last_failure_ || !resumable_ || !config_.stream_recovery || !config_.router.failover)
    return false;
  const bool judged = table(*last_failure_).where != Where::anywhere;
  return (!last_failure_->excused || unheeded_) && !(judged && last_call_.resume == Resume::no);
}

std::optional<TimePoint> RequestReferee::end_of_time() const {
  if (!config_.timeouts.total) return std::nullopt;
  return begun_ + *config_.timeouts.total;
}

Duration RequestReferee::longest_call(const Deployment& deployment) const {
  if (traits_.streaming && deployment.stream_timeout) return *deployment.stream_timeout;
  if (traits_.streaming && config_.router.stream_timeout) return *config_.router.stream_timeout;
  return deployment.timeout.value_or(config_.router.timeout);
}

}  // namespace spillway::simulation
