// A deadline that costs nothing to move. The timer behind it is armed once and looks, when it
// fires, whether the deadline has moved on meanwhile; arming and disarming for every read and write
// only stores a time.
#pragma once

#include <functional>
#include <memory>

#include "core/time.hpp"
#include "server/asio.hpp"

namespace spillway::server {

// Belongs to one worker, like everything that uses it.
class Deadline {
 public:
  // `on_expiry` runs on the worker, once for each arm() whose time passes; never after destruction.
  Deadline(Executor executor, std::function<void()> on_expiry);
  ~Deadline();
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;

  void arm(TimePoint when);
  void disarm();

 private:
  // Shared with the timer's handler, which may already be queued when the deadline goes away.
  struct State {
    State(Executor executor, std::function<void()> callback)
        : timer(executor), on_expiry(std::move(callback)) {}
    Timer timer;
    std::function<void()> on_expiry;  // empty once the owner is gone
    TimePoint when = TimePoint::max();
    TimePoint timer_at = TimePoint::max();  // max: the timer is not running
  };
  static void start_timer(const std::shared_ptr<State>& state);

  std::shared_ptr<State> state_;
};

}  // namespace spillway::server
