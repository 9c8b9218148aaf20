#include "core/recourse.hpp"

#include <algorithm>

#include "core/bounds.hpp"

namespace spillway {

Recourse recourse(const Failure& failure) {
  // A deadline of the client's own is the end of its patience, not of the deployment's.
  if (failure.client_deadline) return {AskAgain::never, Elsewhere::nowhere};
  switch (failure.error_class) {
    case ErrorClass::invalid_request:
    case ErrorClass::conflict:
    case ErrorClass::unprocessable:
    case ErrorClass::client_closed:
      return {AskAgain::never, Elsewhere::nowhere};
    case ErrorClass::content_policy_violation:
      return {AskAgain::never, Elsewhere::content_policy_fallbacks};
    case ErrorClass::context_window_exceeded:
      return {AskAgain::never, Elsewhere::larger_window};
    case ErrorClass::permission_denied:
    case ErrorClass::not_found:
      return {AskAgain::never,
              failure.concerns_deployment ? Elsewhere::anywhere : Elsewhere::nowhere};
    case ErrorClass::authentication:
    case ErrorClass::quota_exhausted:
      return {AskAgain::never, Elsewhere::anywhere};
    case ErrorClass::timeout:
      return {AskAgain::never, Elsewhere::anywhere};
    case ErrorClass::rate_limit:
      return {AskAgain::while_retries_last, Elsewhere::anywhere};
    case ErrorClass::internal:
    case ErrorClass::bad_gateway:
    case ErrorClass::unavailable:
    case ErrorClass::connection:
    case ErrorClass::protocol:
      return {AskAgain::once, Elsewhere::anywhere};
  }
  return {};
}

bool is_verdict(const Failure& failure) {
  return recourse(failure).elsewhere != Elsewhere::anywhere;
}

bool retried_by_clients(int status) {
  return status == 408 || status == 409 || status == 429 || status >= 500;
}

Duration backoff(unsigned asked_again, Random& random) {
  Duration step = bounds::kBackoffBase;
  for (unsigned i = 0; i < asked_again && step < bounds::kBackoffCap; ++i) step *= 2;
  step = std::min(step, bounds::kBackoffCap);
  if (asked_again >= bounds::kJitteredAsks) return step;
  return std::chrono::duration_cast<Duration>(step * uniform(random));
}

}  // namespace spillway
