// How many requests run at once, over all workers, and the queue of those that wait for their turn
// (limits.concurrent_requests, limits.queue; core/fair_queue.hpp decides whose turn it is).
//
// Where nobody waits, admission is one atomic operation. The queue's lock is held for one decision
// and never across a suspension.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>

#include "core/config.hpp"
#include "core/fair_queue.hpp"
#include "server/worker_loop.hpp"

namespace spillway::server {

class Admission {
 public:
  // From now on, also for those that wait. Any thread.
  void use(const Limits& limits);

  // The process is about to end: nobody is let in any more, whoever waits.
  void close();

  // True if one more request may run now; then ended() follows.
  bool admit();
  void ended();

  // One request's wait for its turn. Its owner asks `waiting()` whenever it is woken, and settles
  // in the end.
  class Turn {
   public:
    bool waiting() const { return state_.load(std::memory_order_acquire) == State::waiting; }

   private:
    friend class Admission;
    enum class State : std::uint8_t { waiting, let_in, turned_away };
    std::atomic<State> state_{State::waiting};
    WorkerLoop* loop_ = nullptr;
    std::string key_;
    FairQueue::Ticket ticket_ = 0;
    std::function<void()> wake_;  // on the worker's thread only
  };
  // nullptr: there is no place to wait. `wake` is called on `loop`'s thread when the wait is over,
  // and never after settle().
  std::shared_ptr<Turn> queue(WorkerLoop& loop, std::string key, std::function<void()> wake);
  // Ends the wait, whatever came of it. True if the request may run; then ended() follows.
  bool settle(Turn& turn);

  // Settles a turn once: when it is told to, or when it goes because something was thrown; a place
  // that nobody will use is given back then.
  class Settlement {
   public:
    Settlement(Admission& admission, std::shared_ptr<Turn> turn)
        : admission_(admission), turn_(std::move(turn)) {}
    ~Settlement() {
      if (turn_ && settle()) admission_.ended();
    }
    Settlement(const Settlement&) = delete;
    Settlement& operator=(const Settlement&) = delete;
    bool waiting() const { return turn_->waiting(); }
    bool settle() {
      const auto turn = std::exchange(turn_, nullptr);
      return admission_.settle(*turn);
    }

   private:
    Admission& admission_;
    std::shared_ptr<Turn> turn_;  // nullptr: it is settled
  };

  std::size_t running() const { return running_.load(std::memory_order_relaxed); }
  std::size_t waiting() const { return waiting_.load(std::memory_order_relaxed); }

 private:
  bool take_place(std::size_t limit);
  void let_in();  // as many as there is room for; the lock is held
  void tell(FairQueue::Ticket ticket, Turn::State state) noexcept;

  // The two are sequentially consistent: whoever ends sees that somebody has begun to wait, or
  // whoever begins to wait sees that somebody has ended.
  std::atomic<std::size_t> running_{0};
  std::atomic<std::size_t> waiting_{0};
  std::atomic<std::size_t> limit_{0};  // 0: none
  std::mutex guard_;
  FairQueue queue_;
  std::size_t places_ = 0;  // to wait at
  bool closed_ = false;
  std::unordered_map<FairQueue::Ticket, std::shared_ptr<Turn>> turns_;
};

}  // namespace spillway::server
