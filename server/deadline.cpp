#include "server/deadline.hpp"

#include <utility>

namespace spillway::server {

struct DeadlineQueue::Set
    : boost::intrusive::multiset<Deadline, boost::intrusive::base_hook<QueueHook>,
                                 boost::intrusive::compare<DeadlineQueue::Earlier>,
                                 boost::intrusive::constant_time_size<false>> {};

bool DeadlineQueue::Earlier::operator()(const Deadline& a, const Deadline& b) const {
  return a.stands_at_ < b.stands_at_;
}

DeadlineQueue::DeadlineQueue(std::function<void(TimePoint)> wake_at)
    : waiting_(std::make_unique<Set>()), wake_at_(std::move(wake_at)) {}

DeadlineQueue::~DeadlineQueue() = default;

void DeadlineQueue::insert(Deadline& deadline) {
  deadline.stands_at_ = deadline.when_;
  waiting_->insert(deadline);
  if (deadline.stands_at_ < timer_at_) set_timer();
}

void DeadlineQueue::erase(Deadline& deadline) {
  waiting_->erase(waiting_->iterator_to(deadline));
}

// For the first in the queue. A timer that fires too early, because that one is gone, finds nothing
// due.
void DeadlineQueue::set_timer() {
  if (waiting_->empty()) return;
  timer_at_ = waiting_->begin()->stands_at_;
  wake_at_(timer_at_);
}

void DeadlineQueue::run_due() {
  const TimePoint now = timer_at_;
  timer_at_ = TimePoint::min();  // what is inserted meanwhile leaves the timer alone
  // Also where something throws: the others must still expire.
  struct GoOn {
    DeadlineQueue& queue;
    ~GoOn() {
      queue.timer_at_ = TimePoint::max();
      queue.set_timer();
    }
  } go_on{*this};
  while (!waiting_->empty() && waiting_->begin()->stands_at_ <= now) {
    Deadline& first = *waiting_->begin();
    erase(first);
    if (first.when_ == TimePoint::max()) continue;
    if (first.when_ > now) {
      insert(first);
      continue;
    }
    first.disarm();
    first.on_expiry_();
  }
}

Deadline::Deadline(DeadlineQueue& queue, Callback on_expiry)
    : queue_(queue), on_expiry_(std::move(on_expiry)) {}

Deadline::~Deadline() {
  if (is_linked()) queue_.erase(*this);
}

void Deadline::arm(TimePoint when) {
  when_ = when;
  if (when == TimePoint::max()) return;
  if (is_linked()) {
    if (when >= stands_at_) return;
    queue_.erase(*this);
  }
  queue_.insert(*this);
}

}  // namespace spillway::server
