#include <algorithm>

#include "core/attempt_loop.hpp"

// How long an attempt, and all of them together, may take.
namespace spillway {

// The configured time for one attempt. The deployment's own word of either kind outranks the
// router's.
Duration AttemptLoop::time_for(DeploymentIndex index) const {
  const Deployment& deployment = config_.at(index);
  if (traits_.streaming && deployment.stream_timeout) return *deployment.stream_timeout;
  if (traits_.streaming && config_.router.stream_timeout) return *config_.router.stream_timeout;
  return deployment.timeout.value_or(config_.router.timeout);
}

// The client's own time outranks the configured one in either direction, except that its time for
// the whole answer does not lengthen the configured time to a stream's first token.
void AttemptLoop::set_deadline(attempt::Call& call, TimePoint now) const {
  const RequestOptions& options = traits_.options;
  const auto patience = end_of_patience();
  const bool first_token_configured =
      traits_.streaming && !options.stream_timeout &&
      (config_.at(call.deployment).stream_timeout || config_.router.stream_timeout);
  const TimePoint configured = now + time_for(call.deployment);
  call.client_deadline = patience && *patience < configured;
  call.deadline = configured;
  if (patience && (call.client_deadline || !first_token_configured)) call.deadline = *patience;
  const auto total = end_of_total();
  if (!total || *total >= call.deadline) return;
  call.deadline = *total;
  call.client_deadline = false;
}

// Both end with the first content: a stream that has begun is bounded by its gaps only.
std::optional<TimePoint> AttemptLoop::end_of_patience() const {
  const auto patience = traits_.options.patience(traits_.streaming);
  if (!patience || committed_ == CommitPoint::content_sent) return std::nullopt;
  return begun_ + *patience;
}

std::optional<TimePoint> AttemptLoop::end_of_total() const {
  if (!config_.timeouts.total || committed_ == CommitPoint::content_sent) return std::nullopt;
  return begun_ + *config_.timeouts.total;
}

std::optional<TimePoint> AttemptLoop::end_of_time() const {
  const auto patience = end_of_patience();
  const auto total = end_of_total();
  return patience && total ? std::min(patience, total) : patience ? patience : total;
}

}  // namespace spillway
