// Deadlines that cost nothing to move. All of a thread's deadlines wait in one queue behind one
// timer; a deadline that is armed stands there at the time of its first arming, and looks, when
// that time comes, whether it has moved on meanwhile. Arming and disarming for every read and
// write only stores a time.
#pragma once

#include <boost/intrusive/set.hpp>
#include <functional>
#include <memory>
#include <optional>

#include "core/time.hpp"
#include "server/asio.hpp"

namespace spillway::server {

class Deadline;

// Belongs to one thread; must outlive its deadlines and, because they may live in coroutines of
// the event loop, the loop as well: that is why the loop is only given by start().
class DeadlineQueue {
 public:
  DeadlineQueue();
  ~DeadlineQueue();
  DeadlineQueue(const DeadlineQueue&) = delete;
  DeadlineQueue& operator=(const DeadlineQueue&) = delete;

  void start(asio::io_context& io);
  void stop();  // before the loop goes away; nothing expires any more

 private:
  friend class Deadline;
  struct Earlier {
    bool operator()(const Deadline& a, const Deadline& b) const;
  };
  void insert(Deadline& deadline);
  void erase(Deadline& deadline);
  void set_timer();
  void run_due(TimePoint now);

  struct Set;
  std::unique_ptr<Set> waiting_;
  std::optional<Timer> timer_;
  TimePoint timer_at_ = TimePoint::max();  // max: the timer is not running
};

class Deadline : public boost::intrusive::set_base_hook<> {
 public:
  // `on_expiry` runs on the queue's thread, once for each arm() whose time passes; never after
  // destruction. It does not destroy the deadline. What it throws comes out of the event loop.
  Deadline(DeadlineQueue& queue, std::function<void()> on_expiry);
  ~Deadline();
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;

  void arm(TimePoint when);
  void disarm() { when_ = TimePoint::max(); }

 private:
  friend class DeadlineQueue;
  DeadlineQueue& queue_;
  std::function<void()> on_expiry_;
  TimePoint when_ = TimePoint::max();
  TimePoint stands_at_ = TimePoint::max();  // in the queue; while linked
};

}  // namespace spillway::server
