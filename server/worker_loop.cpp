#include "server/worker_loop.hpp"

#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "core/prefetch.hpp"
#include "server/alarm.hpp"
#include "server/socket.hpp"

namespace spillway::server {

namespace {

constexpr std::uint32_t kEnd = EPOLLRDHUP | EPOLLHUP | EPOLLERR;
constexpr std::uint32_t kReadable = EPOLLIN | kEnd;
constexpr std::uint32_t kWritable = EPOLLOUT | EPOLLHUP | EPOLLERR;

[[noreturn]] void fail(const char* what) {
  throw boost::system::system_error(errno, asio::error::get_system_category(), what);
}

}  // namespace

WorkerLoop::WorkerLoop()
    : timer_(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)),
      woken_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  Descriptor kernel(::epoll_create1(EPOLL_CLOEXEC));
  if (kernel.get() < 0 || woken_.get() < 0 || timer_.get() < 0) fail("a worker's event loop");
  kernel_.emplace(*io_, kernel.get());
  kernel.release();
  add(woken_.get(), &woken_);
  add(timer_.get(), &timer_);
  running_.emplace(io_->get_executor());
}

WorkerLoop::~WorkerLoop() {
  destroy();
}

void WorkerLoop::add(int descriptor, void* tag) {
  epoll_event event{EPOLLIN, {tag}};
  if (::epoll_ctl(kernel_->native_handle(), EPOLL_CTL_ADD, descriptor, &event) != 0)
    fail("a worker's event loop");
}

void WorkerLoop::destroy() {
  count_ = next_ = 0;
  for (List<Socket>* const sockets : {&known_, &ending_}) {
    while (!sockets->empty()) {
      Socket& socket = sockets->front();
      socket.unlink();
      const auto reader = std::exchange(socket.reader_, std::nullopt);
      const auto writer = std::exchange(socket.writer_, std::nullopt);
    }
  }
  for (List<Sleep>* const sleeps : {&asleep_, &roused_}) {
    while (!sleeps->empty()) const auto destroyed = sleeps->front().take();
  }
  kernel_.reset();
  running_.reset();
  io_.reset();
}

void WorkerLoop::run() {
  for (bool more = do_given(); !io_->stopped(); more = do_given()) {
    const bool rest = next_ < count_ || due_;  // behind one that threw
    if (timer_waits_ > 0 && !rest && !more)
      wait_in_asio();
    else
      serve(more ? 0 : kForever);
  }
}

bool WorkerLoop::poll() {
  const bool given = posted_.load(std::memory_order_relaxed) || !roused_.empty();
  do_given();
  const bool handled = io_->poll() > 0;
  return serve(0) || handled || given;
}

// True if that was not all: what is given meanwhile has its turn after sockets and deadlines.
bool WorkerLoop::do_given() {
  run_posted();
  go_on_roused();
  return posted_.load(std::memory_order_relaxed) || !roused_.empty();
}

void WorkerLoop::run_posted() {
  if (!posted_.exchange(false, std::memory_order_acquire)) return;
  // Also where something throws.
  struct GoOn {
    std::atomic<bool>& posted;
    bool all = false;
    ~GoOn() {
      if (!all) posted.store(true, std::memory_order_relaxed);
    }
  } go_on{posted_};
  std::size_t handlers = 0;
  do go_on.all = io_->poll_one() == 0;
  while (!go_on.all && ++handlers < kAtOnce && !posted_.load(std::memory_order_relaxed));
}

void WorkerLoop::go_on_roused() {
  for (std::size_t i = 0; i < kAtOnce && !roused_.empty(); ++i) roused_.front().take().go_on();
}

void WorkerLoop::wait_in_asio() {
  if (!in_asio_) {
    kernel_->async_wait(asio::posix::descriptor_base::wait_read,
                        [this](error_code) { in_asio_ = false; });
    in_asio_ = true;
  }
  io_->run_one();
  if (!in_asio_) serve(0);
}

bool WorkerLoop::serve(int timeout_ms) {
  if (next_ == count_ && !due_) {
    const int count =
        ::epoll_wait(kernel_->native_handle(), told_.data(), static_cast<int>(kAtOnce), timeout_ms);
    next_ = 0;
    count_ = static_cast<std::size_t>(std::max(count, 0));
  }
  const bool any = count_ > 0;
  serve_sockets();
  // What has arrived counts before what is late.
  if (std::exchange(due_, false)) expire();
  return any;
}

// Where one throws the rest is served by the next call.
void WorkerLoop::serve_sockets() {
  struct Close {
    Outbox& outbox;
    ~Close() { outbox.hand_over_and_close(); }
  } const close{outbox_};
  // A single one's writes would only wait.
  if (count_ - next_ > 1) outbox_.open();
  while (next_ < count_) {
    look_ahead();
    serve_next();
  }
}

// Among many connections what one of them needs is seldom in the caches. Each step leads to the
// next: the socket, the chain that waits for it, the coroutine that will go on.
void WorkerLoop::look_ahead() const {
  if (const Socket* socket = told_of(next_ + 3)) prefetch(socket, socket + 1);
  if (const Socket* socket = told_of(next_ + 2)) socket->prefetch_reader();
  if (const Socket* socket = told_of(next_ + 1)) socket->prefetch_readers_frame();
}

// Whose the news at `place` are; nullptr: nobody's any more, or not a socket's.
const Socket* WorkerLoop::told_of(std::size_t place) const {
  if (place >= count_ || told_[place].events == 0) return nullptr;  // it may be gone
  void* const tag = told_[place].data.ptr;
  return tag == &woken_ || tag == &timer_ ? nullptr : static_cast<const Socket*>(tag);
}

void WorkerLoop::serve_next() {
  epoll_event& told = told_[next_];
  if (told.data.ptr == &woken_) {
    ++next_;
    end_waits();
    run_posted();  // now: what was posted before a socket became ready has its turn before it
    return;
  }
  if (told.data.ptr == &timer_) {
    ++next_;
    due_ = true;
    return;
  }
  auto& socket = *static_cast<Socket*>(told.data.ptr);
  // What goes on may close this socket, or throw.
  const std::uint32_t news = told.events;
  told.events &= kWritable;
  if (news & kReadable) socket.became_readable(news & kEnd);
  ++next_;
  if (told.events & kWritable) socket.became_writable();
}

void WorkerLoop::end_waits() {
  std::uint64_t times = 0;
  [[maybe_unused]] const auto read = ::read(woken_.get(), &times, sizeof times);
  awake_.exchange(false);  // and sees what was posted before it was set
  // Those that end meanwhile have their turn later.
  List<Socket> ending;
  ending.swap(ending_);
  // Also where something throws.
  struct GoOn {
    WorkerLoop& loop;
    List<Socket>& rest;
    ~GoOn() {
      loop.ending_.splice(loop.ending_.begin(), rest);
      if (!loop.ending_.empty()) loop.wake();
    }
  } const go_on{*this, ending};
  while (!ending.empty()) {
    Socket& socket = ending.front();
    socket.unlink();
    if (socket.known_) known_.push_back(socket);
    socket.ending_ = false;
    const auto why = socket.failure_;
    // One of them may take the socket along.
    auto reader = std::exchange(socket.reader_, std::nullopt);
    auto writer = std::exchange(socket.writer_, std::nullopt);
    Socket::go_on(reader, why);
    Socket::go_on(writer, why);
  }
}

void WorkerLoop::set_timer(TimePoint when) {
  // 0 would be never; what has passed is now.
  const auto since = std::max(when.time_since_epoch(), Duration(1));
  const auto whole = std::chrono::duration_cast<seconds>(since);
  itimerspec expiry{};
  expiry.it_value = {whole.count(), std::chrono::nanoseconds(since - whole).count()};
  ::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &expiry, nullptr);
}

void WorkerLoop::expire() {
  std::uint64_t times = 0;
  // Nothing where it was set anew meanwhile.
  if (::read(timer_.get(), &times, sizeof times) == sizeof times) deadlines_.run_due();
}

void WorkerLoop::wake() {
  if (awake_.exchange(true)) return;
  const std::uint64_t once = 1;
  [[maybe_unused]] const auto written = ::write(woken_.get(), &once, sizeof once);
}

}  // namespace spillway::server
