#include "server/alarm.hpp"

namespace spillway::server {

Sleep::Sleep(Alarm& alarm, TimePoint until)
    : alarm_(alarm), until_(until), deadline_(alarm.loop_.deadlines(), [this] { alarm_.wake(); }) {}

void Sleep::operator()(coroutine::Chain::Waiting waiting) noexcept {
  waiting_.emplace(std::move(waiting));
  alarm_.sleep_ = this;
  alarm_.loop_.asleep_.push_back(*this);
  deadline_.arm(until_);
}

// Whether the chain goes on or is destroyed then, this goes with its frame.
coroutine::Chain::Waiting Sleep::take() {
  unlink();
  alarm_.sleep_ = nullptr;
  return std::move(*waiting_);
}

Alarm::~Alarm() {
  if (sleep_) const auto destroyed = sleep_->take();
}

void Alarm::wake() noexcept {
  if (!sleep_ || std::exchange(sleep_->roused_, true)) return;
  sleep_->unlink();
  loop_.roused_.push_back(*sleep_);
}

}  // namespace spillway::server
