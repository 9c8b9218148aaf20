// What a coroutine waits for that no socket tells of: a time, or somebody on its own thread. Waits
// with its worker's deadlines, not with Asio's timers (decision 12). Neither waiting nor waking
// takes memory, and waking no system call.
#pragma once

#include <optional>
#include <utility>

#include "server/coroutine.hpp"
#include "server/deadline.hpp"
#include "server/worker_loop.hpp"

namespace spillway::server {

class Alarm;

// One wait for an alarm; lives in the frame of the coroutine that waits.
class Sleep : public SelfUnlinking {
 public:
  Sleep(Alarm& alarm, TimePoint until);
  Sleep(Sleep&& unbegun) : Sleep(unbegun.alarm_, unbegun.until_) {}
  Sleep& operator=(Sleep&&) = delete;
  void operator()(coroutine::Chain::Waiting waiting) noexcept;

 private:
  friend class Alarm;
  friend class WorkerLoop;
  coroutine::Chain::Waiting take();

  Alarm& alarm_;
  TimePoint until_;
  Deadline deadline_;
  std::optional<coroutine::Chain::Waiting> waiting_;
  bool roused_ = false;  // about to go on
};

class Alarm {
 public:
  explicit Alarm(WorkerLoop& loop) : loop_(loop) {}
  // Destroys who waits.
  ~Alarm();
  Alarm(const Alarm&) = delete;
  Alarm& operator=(const Alarm&) = delete;

  // To be awaited, by one coroutine at a time: until `when` has come, or wake() is called;
  // TimePoint::max(): only that.
  auto until(TimePoint when) { return coroutine::Wait(Sleep(*this, when)); }

  // Whoever waits goes on, from the event loop and not from here. Where nobody does, it is nothing.
  void wake() noexcept;

 private:
  friend class Sleep;
  WorkerLoop& loop_;
  Sleep* sleep_ = nullptr;  // while somebody waits
};

}  // namespace spillway::server
