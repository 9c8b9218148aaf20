// What a worker's thread does: it serves the sockets that are ready, the deadlines that pass, and
// what it was given to do.
//
// Its connections and deadlines wait in an epoll set of its own, because Asio asks the kernel anew
// before each wait (decision 12); a coroutine's wait for a time is one of the deadlines
// (server/alarm.hpp). What is posted goes through Asio's io_context. Asio's timers wait in there,
// and only while one is waited for, for a look-up, does the thread wait in there too, for both.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/intrusive/list.hpp>
#include <cstdint>
#include <optional>
#include <utility>

#include "server/asio.hpp"
#include "server/deadline.hpp"
#include "server/descriptor.hpp"
#include "server/outbox.hpp"

namespace spillway::server {

class Sleep;
class Socket;

// A link of boost::intrusive's lists that ends with its owner.
using SelfUnlinking =
    boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;

// All but what says otherwise is for the thread that runs it. Outlives its sockets and deadlines.
class WorkerLoop {
 public:
  // Throws boost::system::system_error if the kernel has no descriptor left.
  WorkerLoop();
  ~WorkerLoop();
  WorkerLoop(const WorkerLoop&) = delete;
  WorkerLoop& operator=(const WorkerLoop&) = delete;

  // Until stop(). What a handler throws comes out of it, and is no reason not to call it again.
  void run();
  // One round: what is ready, without waiting for more. False: nothing was.
  bool poll();
  void stop() { io_->stop(); }
  // Afterwards nothing runs any more: coroutines that wait are destroyed, with all that they hold.
  void destroy();

  // From any thread: `handler` is called once by run(), in the order of such calls.
  template <typename Handler>
  void post(Handler handler) {
    asio::post(*io_, std::move(handler));
    posted_.store(true, std::memory_order_release);
    wake();
  }
  // To be awaited: whoever else is ready has a turn first.
  auto others_first() {
    return coroutine::Wait(
        [this](coroutine::Chain::Waiting waiting) { let_others_first(std::move(waiting)); });
  }
  void let_others_first(coroutine::Chain::Waiting waiting) {
    post_here([go = std::move(waiting)]() mutable { go.go_on(); });
  }
  // post(), from this thread.
  template <typename Handler>
  void post_here(Handler handler) {
    asio::post(*io_, std::move(handler));
    posted_.store(true, std::memory_order_relaxed);
  }

  // Lives while one of Asio's timers is waited for, whose event loop is io().
  class TimerWait {
   public:
    explicit TimerWait(WorkerLoop& loop) : loop_(loop) { ++loop_.timer_waits_; }
    ~TimerWait() { --loop_.timer_waits_; }
    TimerWait(const TimerWait&) = delete;
    TimerWait& operator=(const TimerWait&) = delete;

   private:
    WorkerLoop& loop_;
  };
  // What is posted there otherwise has its turn with the next post of any other kind.
  asio::io_context& io() { return *io_; }
  DeadlineQueue& deadlines() { return deadlines_; }

 private:
  friend class Alarm;
  friend class Sleep;
  friend class Socket;
  template <typename Waiter>
  using List = boost::intrusive::list<Waiter, boost::intrusive::base_hook<SelfUnlinking>,
                                      boost::intrusive::constant_time_size<false>>;
  static constexpr std::size_t kAtOnce = 128;  // sockets, and as many handlers in turn
  static constexpr int kForever = -1;

  void add(int descriptor, void* tag);
  bool do_given();
  void run_posted();
  void go_on_roused();
  void wait_in_asio();
  bool serve(int timeout_ms);
  void serve_sockets();
  void look_ahead() const;
  const Socket* told_of(std::size_t place) const;
  void serve_next();
  void end_waits();
  void set_timer(TimePoint when);
  void expire();
  void wake();

  Descriptor timer_;  // of deadlines_ (timerfd_create(2))
  DeadlineQueue deadlines_{[this](TimePoint when) { set_timer(when); }};
  Descriptor woken_;  // an eventfd among the sockets: something was posted, or is in `ending_`
  std::atomic<bool> awake_{false};
  std::atomic<bool> posted_{false};
  List<Socket> known_;   // to the kernel
  List<Socket> ending_;  // whoever waits for one of these is to go on without it
  List<Sleep> asleep_;
  List<Sleep> roused_;  // are over, and to go on
  std::array<epoll_event, kAtOnce> told_;
  std::size_t next_ = 0;  // of told_, to be served
  std::size_t count_ = 0;
  Outbox outbox_;     // of those sockets; empty between two rounds
  bool due_ = false;  // deadlines_ are, after those
  unsigned timer_waits_ = 0;
  bool in_asio_ = false;  // it will tell when a socket is ready
  // One thread does all of its work; only posting comes from others.
  std::optional<asio::io_context> io_{BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO};
  std::optional<asio::executor_work_guard<Executor>> running_;
  std::optional<asio::posix::basic_stream_descriptor<Executor>> kernel_;  // epoll's
};

}  // namespace spillway::server
