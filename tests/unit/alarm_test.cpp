#include "server/alarm.hpp"

#include <unistd.h>

#include <boost/asio/post.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>

#include "server/socket.hpp"
#include "socket_pair.hpp"

namespace spillway::server {
namespace {

TimePoint now() {
  return std::chrono::steady_clock::now();
}
TimePoint far_away() {
  return now() + std::chrono::hours(1);
}

// What is ready, and what comes of it.
void settle(WorkerLoop& loop) {
  while (loop.poll()) {
  }
}

Awaitable<void> wait_and_say(Alarm& alarm, TimePoint until, std::string& said, char word) {
  co_await alarm.until(until);
  said += word;
}

Awaitable<void> wait_and_stop(Alarm& alarm, TimePoint until, WorkerLoop& loop) {
  co_await alarm.until(until);
  loop.stop();
}

TEST_CASE("who waits for an alarm goes on at its time, the soonest first") {
  WorkerLoop loop;
  Alarm sooner(loop), later(loop), last(loop);
  std::string said;
  const TimePoint begun = now();
  spawn(wait_and_say(later, begun + milliseconds(2), said, 'b'));
  spawn(wait_and_say(sooner, begun + milliseconds(1), said, 'a'));
  spawn(wait_and_stop(last, begun + milliseconds(3), loop));
  loop.run();
  CHECK(now() >= begun + milliseconds(3));
  CHECK(said == "ab");
}

TEST_CASE("a time that has passed is waited for until the event loop's next round") {
  WorkerLoop loop;
  Alarm alarm(loop);
  std::string said;
  spawn(wait_and_say(alarm, now() - milliseconds(1), said, 'a'));
  CHECK(said.empty());
  settle(loop);
  CHECK(said == "a");
}

TEST_CASE("who is woken goes on from the event loop, once") {
  WorkerLoop loop;
  Alarm alarm(loop);
  std::string said;
  const TimePoint until = GENERATE(far_away(), now() - milliseconds(1), TimePoint::max());
  spawn(wait_and_say(alarm, until, said, 'a'));
  static_assert(noexcept(alarm.wake()));
  alarm.wake();
  alarm.wake();
  CHECK(said.empty());
  settle(loop);
  CHECK(said == "a");
  alarm.wake();
  settle(loop);
  CHECK(said == "a");
}

TEST_CASE("a wait does not begin with what an earlier one left behind") {
  WorkerLoop loop;
  Alarm alarm(loop);
  std::string said;
  SECTION("nobody waited") {
    alarm.wake();
  }
  SECTION("woken twice") {
    spawn(wait_and_say(alarm, TimePoint::max(), said, 'a'));
    alarm.wake();
    alarm.wake();
    settle(loop);
  }
  SECTION("woken and late") {
    spawn(wait_and_say(alarm, now() - milliseconds(1), said, 'a'));
    alarm.wake();
    settle(loop);
  }
  said.clear();
  spawn(wait_and_say(alarm, TimePoint::max(), said, 'b'));
  settle(loop);
  CHECK(said.empty());
  alarm.wake();
  settle(loop);
  CHECK(said == "b");
}

TEST_CASE("a turn begins where a wait ends") {
  WorkerLoop loop;
  Alarm alarm(loop);
  std::uint64_t before = 0;
  std::uint64_t after = 0;
  const auto note = [](Alarm& waits, std::uint64_t& first,
                       std::uint64_t& second) -> Awaitable<void> {
    first = coroutine_turn();
    co_await waits.until(TimePoint::max());
    second = coroutine_turn();
  };
  spawn(note(alarm, before, after));
  alarm.wake();
  settle(loop);
  CHECK(before > 0);
  CHECK(after > before);
}

TEST_CASE("what has arrived counts before an alarm that is late") {
  WorkerLoop loop;
  Alarm alarm(loop);
  std::string said;
  Socket socket(loop, [&] { said += 's'; });
  const Descriptor peer = connected_to(socket);
  socket.watch();
  spawn(wait_and_say(alarm, now() - milliseconds(1), said, 'a'));
  REQUIRE(::write(peer.get(), "a", 1) == 1);
  settle(loop);
  CHECK(said == "sa");
}

Awaitable<void> hold(Alarm& alarm, TimePoint until, std::shared_ptr<int> held) {
  co_await alarm.until(until);
  *held = 1;
}

// The alarm is where it usually is: in a coroutine of the chain that waits for it.
Awaitable<void> hold_both(WorkerLoop& loop, TimePoint until, std::shared_ptr<int> held,
                          Alarm*& known) {
  Alarm alarm(loop);
  known = &alarm;
  co_await hold(alarm, until, held);
}

TEST_CASE("who waits ends with the alarm, woken or not") {
  WorkerLoop loop;
  const auto held = std::make_shared<int>(0);
  {
    Alarm alarm(loop);
    spawn(hold(alarm, GENERATE(far_away(), TimePoint::max()), held));
    CHECK(held.use_count() == 2);
    if (GENERATE(false, true)) alarm.wake();
  }
  CHECK(held.use_count() == 1);
  settle(loop);
  CHECK(*held == 0);
}

TEST_CASE("who waits ends with the loop, woken or not") {
  const auto held = std::make_shared<int>(0);
  const TimePoint until = GENERATE(far_away(), now() - milliseconds(1), TimePoint::max());
  const bool woken = GENERATE(false, true);
  {
    WorkerLoop loop;
    Alarm outer(loop);
    Alarm* inner = nullptr;
    spawn(hold(outer, until, held));
    spawn(hold_both(loop, until, held, inner));
    CHECK(held.use_count() == 4);
    if (woken) {
      outer.wake();
      inner->wake();
    }
    loop.destroy();
    CHECK(held.use_count() == 1);
    outer.wake();  // nobody
  }
  CHECK(*held == 0);
}

// Waits until it is woken, and wakes the other.
Awaitable<void> take_turns(Alarm& own, Alarm& other, int& turns, const bool& over) {
  while (!over) {
    ++turns;
    other.wake();
    co_await own.until(TimePoint::max());
  }
}

TEST_CASE("those who keep waking each other let everybody else have their turn") {
  WorkerLoop loop;
  Alarm ping(loop), pong(loop);
  bool over = false;
  int turns = 0;
  const auto stop = [&] {
    over = true;
    loop.stop();
  };
  Socket socket(loop, stop);
  const Descriptor peer = connected_to(socket);
  Deadline deadline(loop.deadlines(), stop);
  Alarm late(loop);
  SECTION("sockets") {
    socket.watch();
    REQUIRE(::write(peer.get(), "a", 1) == 1);
  }
  SECTION("deadlines") {
    deadline.arm(now());
  }
  SECTION("alarms") {
    spawn(wait_and_stop(late, now(), loop));
  }
  SECTION("what was posted") {
    loop.post_here(stop);
  }
  spawn(take_turns(ping, pong, turns, over));
  spawn(take_turns(pong, ping, turns, over));
  loop.run();
  CHECK(turns > 1);
}

TEST_CASE("handlers that are never done let who was woken go on, soon") {
  WorkerLoop loop;
  Alarm alarm(loop);
  std::string said;
  int handled = 0;
  const std::function<void()> again = [&] {
    ++handled;
    if (said.empty()) loop.post_here(again);
  };
  spawn(wait_and_say(alarm, TimePoint::max(), said, 'a'));
  again();
  alarm.wake();
  settle(loop);
  CHECK(said == "a");
  CHECK(handled < 200);
}

TEST_CASE("who waits for an alarm leaves the loop out of Asio's") {
  WorkerLoop loop;
  Alarm alarm(loop);
  int handled = 0;
  int at_the_end = -1;
  const auto wait = [](WorkerLoop& runs, Alarm& waits, int& count, int& seen) -> Awaitable<void> {
    co_await waits.until(std::chrono::steady_clock::now() + milliseconds(3));
    seen = count;
    runs.stop();
  };
  // Given to Asio's loop behind ours, which only a wait in there would find.
  asio::post(loop.io(), [&] { ++handled; });
  spawn(wait(loop, alarm, handled, at_the_end));
  loop.run();
  CHECK(at_the_end == 0);
}

TEST_CASE("what one that goes on throws leaves the others theirs") {
  WorkerLoop loop;
  Alarm broken(loop), whole(loop);
  std::string said;
  const auto fail = [](Alarm& waits) -> Awaitable<void> {
    co_await waits.until(TimePoint::max());
    throw std::runtime_error("broken");
  };
  spawn(fail(broken));
  spawn(wait_and_say(whole, TimePoint::max(), said, 'a'));
  broken.wake();
  whole.wake();
  CHECK_THROWS(settle(loop));
  settle(loop);
  CHECK(said == "a");
}

}  // namespace
}  // namespace spillway::server
