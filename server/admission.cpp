#include "server/admission.hpp"

#include <new>
#include <utility>

namespace spillway::server {

bool Admission::take_place(std::size_t limit) {
  std::size_t running = running_.load();
  while (limit == 0 || running < limit)
    if (running_.compare_exchange_weak(running, running + 1)) return true;
  return false;
}

void Admission::use(const Limits& limits) {
  const std::lock_guard lock(guard_);
  limit_.store(limits.concurrent_requests);
  places_ = limits.queue;
  let_in();
}

void Admission::close() {
  const std::lock_guard lock(guard_);
  closed_ = true;
}

bool Admission::admit() {
  return waiting_.load() == 0 && take_place(limit_.load());
}

void Admission::ended() {
  running_.fetch_sub(1);
  if (waiting_.load() == 0) return;
  const std::lock_guard lock(guard_);
  let_in();
}

std::shared_ptr<Admission::Turn> Admission::queue(WorkerLoop& loop, std::string key,
                                                  std::function<void()> wake) {
  auto turn = std::make_shared<Turn>();
  const std::lock_guard lock(guard_);
  const auto joined = queue_.join(key, places_);
  if (joined.displaced) tell(*joined.displaced, Turn::State::turned_away);
  if (!joined.ticket) return nullptr;
  turn->loop_ = &loop;
  turn->key_ = std::move(key);
  turn->ticket_ = *joined.ticket;
  turn->wake_ = std::move(wake);
  try {
    turns_.emplace(turn->ticket_, turn);
  } catch (const std::bad_alloc&) {
    queue_.leave(turn->ticket_, turn->key_);
    throw;
  }
  waiting_.store(queue_.size());
  let_in();  // somebody may have ended since admit() looked
  return turn;
}

void Admission::let_in() {
  while (!closed_ && queue_.size() > 0 && take_place(limit_.load())) {
    std::optional<FairQueue::Ticket> next;
    try {
      next = queue_.next();
    } catch (const std::bad_alloc&) {  // whoever ends next tries again
    }
    if (!next) running_.fetch_sub(1);
    if (!next) break;
    tell(*next, Turn::State::let_in);
  }
  waiting_.store(queue_.size());
}

// Whoever cannot be woken for want of memory finds out when its wait is over.
void Admission::tell(FairQueue::Ticket ticket, Turn::State state) noexcept {
  const auto found = turns_.find(ticket);
  std::shared_ptr<Turn> turn = std::move(found->second);
  turns_.erase(found);
  turn->state_.store(state, std::memory_order_release);
  WorkerLoop& loop = *turn->loop_;
  try {
    loop.post([turn = std::move(turn)] {
      if (turn->wake_) turn->wake_();
    });
  } catch (const std::bad_alloc&) {
  }
}

bool Admission::settle(Turn& turn) {
  turn.wake_ = nullptr;
  const std::lock_guard lock(guard_);
  if (queue_.leave(turn.ticket_, turn.key_)) turns_.erase(turn.ticket_);
  waiting_.store(queue_.size());
  return turn.state_.load(std::memory_order_acquire) == Turn::State::let_in;
}

}  // namespace spillway::server
