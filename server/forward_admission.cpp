#include <algorithm>
#include <utility>

#include "server/forward.hpp"
#include "server/gateway.hpp"
#include "server/worker.hpp"

// A place among the requests that run at once, and the wait for one.
namespace spillway::server {

bool Forward::admit() {
  admitted_ = worker_.gateway().admission().admit();
  return admitted_;
}

// A client that leaves meanwhile gives its turn up.
Awaitable<void> Forward::wait_for_turn() {
  Admission& admission = worker_.gateway().admission();
  auto wake = [this] { alarm_.wake(); };
  auto queued = admission.queue(worker_.loop(), request_.key_name, std::move(wake));
  if (!queued)
    co_return leave_unwritten(over_capacity(
        "The gateway is at its limit of requests at once.",
        config_.limits.queue > 0 ? "the queue is full" : "at the limit of requests at once"));
  Admission::Settlement turn(admission, std::move(queued));
  connection_.watch([this](ClientConnection::Ending why) { end_early(why); });
  const TimePoint until = worker_.now() + config_.limits.queue_timeout;
  while (turn.waiting() && !ended_early() && worker_.now() < until) co_await alarm_.until(until);
  admitted_ = turn.settle();
  if (client_left() || (admitted_ && !ended_early())) co_return;
  connection_.stop_watching();
  release();
  if (ended_early())
    co_return leave_unwritten(over_capacity("The gateway is shutting down.", "shutting down"));
  leave_unwritten(
      over_capacity("The gateway is at its limit of requests at once, and no place came free in "
                    "time.",
                    worker_.now() < until ? "gave up its place in the full queue to another key"
                                          : "no place came free in time"));
}

// Before the last write: a client that has its answer may send its next request at once.
void Forward::release() {
  if (std::exchange(admitted_, false)) worker_.gateway().admission().ended();
}

}  // namespace spillway::server
