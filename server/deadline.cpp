#include "server/deadline.hpp"

namespace spillway::server {

Deadline::Deadline(Executor executor, std::function<void()> on_expiry)
    : state_(std::make_shared<State>(executor, std::move(on_expiry))) {}

Deadline::~Deadline() {
  state_->on_expiry = nullptr;
  state_->timer.cancel();
}

void Deadline::arm(TimePoint when) {
  state_->when = when;
  if (when < state_->timer_at) start_timer(state_);
}

void Deadline::disarm() {
  state_->when = TimePoint::max();
}

void Deadline::start_timer(const std::shared_ptr<State>& state) {
  state->timer_at = state->when;
  state->timer.expires_at(
      state->when);  // cancels a running wait, whose handler then sees the error
  state->timer.async_wait([state](error_code ec) {
    if (ec || !state->on_expiry) return;
    const TimePoint fired_at = state->timer_at;
    state->timer_at = TimePoint::max();
    if (state->when == TimePoint::max()) return;
    if (state->when > fired_at) return start_timer(state);
    state->when = TimePoint::max();
    state->on_expiry();
  });
}

}  // namespace spillway::server
