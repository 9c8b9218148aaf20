// Deadlines that cost nothing to move. All of a thread's deadlines wait in one queue behind one
// timer; a deadline that is armed stands there at the time of its first arming, and looks, when
// that time comes, whether it has moved on meanwhile. Arming and disarming for every read and
// write only stores a time.
#pragma once

#include <boost/intrusive/set.hpp>
#include <functional>
#include <memory>

#include "core/time.hpp"
#include "server/callback.hpp"

namespace spillway::server {

class Deadline;

// What a Deadline needs to stand in the queue, as small as it can be.
using QueueHook = boost::intrusive::set_base_hook<boost::intrusive::optimize_size<true>>;

// Belongs to one thread, and outlives its deadlines.
class DeadlineQueue {
 public:
  // `wake_at` is told when run_due() is to be called, and each time anew when that is sooner.
  explicit DeadlineQueue(std::function<void(TimePoint)> wake_at);
  ~DeadlineQueue();
  DeadlineQueue(const DeadlineQueue&) = delete;
  DeadlineQueue& operator=(const DeadlineQueue&) = delete;

  // Everything up to the time that wake_at was told last.
  void run_due();

 private:
  friend class Deadline;
  struct Earlier {
    bool operator()(const Deadline& a, const Deadline& b) const;
  };
  void insert(Deadline& deadline);
  void erase(Deadline& deadline);
  void set_timer();

  struct Set;
  std::unique_ptr<Set> waiting_;
  std::function<void(TimePoint)> wake_at_;
  TimePoint timer_at_ = TimePoint::max();  // max: wake_at_ was not told
};

class Deadline : public QueueHook {
 public:
  // `on_expiry` runs on the queue's thread, once for each arm() whose time passes; never after
  // destruction. It does not destroy the deadline. What it throws comes out of run_due().
  Deadline(DeadlineQueue& queue, Callback on_expiry);
  ~Deadline();
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;

  void arm(TimePoint when);
  void disarm() { when_ = TimePoint::max(); }

 private:
  friend class DeadlineQueue;
  DeadlineQueue& queue_;
  Callback on_expiry_;
  TimePoint when_ = TimePoint::max();
  TimePoint stands_at_ = TimePoint::max();  // in the queue; while linked
};

}  // namespace spillway::server
