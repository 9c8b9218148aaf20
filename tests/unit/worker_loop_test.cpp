#include "server/worker_loop.hpp"

#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

#include "server/socket.hpp"
#include "socket_pair.hpp"

namespace spillway::server {
namespace {

// A socket whose other end sends it a byte when asked to.
struct Echo {
  explicit Echo(WorkerLoop& loop) : socket(loop, nullptr), peer(connected_to(socket)) {}

  Awaitable<void> one() {
    REQUIRE(::write(peer.get(), "a", 1) == 1);
    error_code ec;
    co_await socket.readable(ec);
    char byte = 0;
    socket.read_some(std::span(&byte, 1), ec);
    socket.read_some(std::span(&byte, 1), ec);  // nothing
  }
  Awaitable<void> until(const bool& over) {
    while (!over) co_await one();
  }

  Socket socket;
  Descriptor peer;
};

TEST_CASE("what is posted runs in its order, from the thread or from another") {
  WorkerLoop loop;
  std::string said;
  std::thread other;
  loop.post_here([&] { said += 'a'; });
  loop.post([&] { said += 'b'; });
  loop.post_here([&] {
    // The loop has nothing else to do, and waits.
    other = std::thread([&] {
      loop.post([&] { said += 'c'; });
      loop.post([&] { loop.stop(); });
    });
  });
  loop.run();
  other.join();
  CHECK(said == "abc");
}

TEST_CASE("what was posted before a socket became ready runs before it is served") {
  WorkerLoop loop;
  std::string said;
  Socket socket(loop, [&] {
    said += 's';
    loop.stop();
  });
  const Descriptor peer = connected_to(socket);
  socket.watch();
  loop.post_here([&] {
    std::thread([&] {
      loop.post([&] { said += 'p'; });
      REQUIRE(::write(peer.get(), "a", 1) == 1);
    }).join();
  });
  loop.run();
  CHECK(said == "ps");
}

TEST_CASE("a busy loop sees its deadlines, its timers and what others post") {
  WorkerLoop loop;
  Echo echo(loop);
  bool over = false;
  const auto stop = [&] {
    over = true;
    loop.stop();
  };
  Deadline deadline(loop.deadlines(), stop);
  Timer timer(loop.io());
  std::optional<WorkerLoop::TimerWait> waits;
  std::thread other;
  SECTION("a deadline") {
    deadline.arm(std::chrono::steady_clock::now() + milliseconds(3));
  }
  SECTION("a timer") {
    timer.expires_after(milliseconds(3));
    waits.emplace(loop);
    timer.async_wait([&](error_code) { stop(); });
  }
  SECTION("another thread") {
    other = std::thread([&] { loop.post(stop); });
  }
  spawn(echo.until(over));
  loop.run();
  if (other.joinable()) other.join();
  CHECK(over);
}

TEST_CASE("a loop that waits for a timer serves its sockets and its deadlines") {
  WorkerLoop loop;
  Echo echo(loop);
  Timer timer(loop.io(), std::chrono::hours(1));
  timer.async_wait([](error_code) {});
  const WorkerLoop::TimerWait waits(loop);
  bool over = false;
  Deadline deadline(loop.deadlines(), [&] {
    over = true;
    loop.stop();
  });
  SECTION("a deadline") {
    deadline.arm(std::chrono::steady_clock::now() + milliseconds(3));
  }
  SECTION("a socket") {
    const auto often = [](Echo& its, Deadline& last) -> Awaitable<void> {
      for (int i = 0; i < 100; ++i) co_await its.one();
      last.arm(std::chrono::steady_clock::now());
    };
    spawn(often(echo, deadline));
  }
  loop.run();
  CHECK(over);
}

TEST_CASE("handlers that are never done let sockets and deadlines have their turn, soon") {
  WorkerLoop loop;
  Echo echo(loop);
  bool over = false;
  int handled = 0;
  const auto stop = [&] {
    over = true;
    loop.stop();
  };
  Timer timer(loop.io(), std::chrono::hours(1));
  std::optional<WorkerLoop::TimerWait> waits;
  Deadline deadline(loop.deadlines(), stop);
  const std::function<void()> again = [&] {
    ++handled;
    if (!over) loop.post_here(again);
  };
  const auto some = [](Echo& its, std::function<void()> done) -> Awaitable<void> {
    for (int i = 0; i < 10; ++i) co_await its.one();
    done();
  };
  const bool with_timer = GENERATE(false, true);
  if (with_timer) {
    timer.async_wait([](error_code) {});
    waits.emplace(loop);
  }
  SECTION("sockets") {
    spawn(some(echo, stop));
  }
  SECTION("deadlines") {
    deadline.arm(std::chrono::steady_clock::now());
  }
  again();
  loop.run();
  CHECK(over);
  CHECK(handled < 200);  // two or so for each byte
}

TEST_CASE("who lets others go first goes on after them") {
  WorkerLoop loop;
  std::string said;
  const auto speak = [](WorkerLoop& runs, std::string& words) -> Awaitable<void> {
    words += 'a';
    co_await runs.others_first();
    words += 'c';
  };
  loop.post_here([&] { said += 'b'; });
  spawn(speak(loop, said));
  while (loop.poll()) {
  }
  CHECK(said == "abc");
}

TEST_CASE("what a handler throws leaves the others theirs") {
  WorkerLoop loop;
  std::string said;
  const auto fail = [] { throw std::runtime_error("broken"); };
  loop.post_here(fail);
  loop.post_here([&] { said += 'a'; });
  Deadline broken(loop.deadlines(), fail);
  Deadline whole(loop.deadlines(), [&] { said += 'b'; });
  Deadline last(loop.deadlines(), [&] { loop.stop(); });
  const TimePoint now = std::chrono::steady_clock::now();
  broken.arm(now - milliseconds(3));
  whole.arm(now - milliseconds(2));
  last.arm(now - milliseconds(1));
  int thrown = 0;
  for (bool ended = false; !ended;) {
    try {
      loop.run();
      ended = true;
    } catch (const std::runtime_error&) {
      ++thrown;
    }
  }
  CHECK(thrown == 2);
  CHECK(said == "ab");
}

Awaitable<void> hold(WorkerLoop& loop, std::shared_ptr<int> held) {
  co_await loop.others_first();
  *held = 1;
}

TEST_CASE("what is posted and never run goes with the loop") {
  const auto held = std::make_shared<int>(0);
  {
    WorkerLoop loop;
    spawn(hold(loop, held));
    CHECK(held.use_count() == 2);
    loop.destroy();
    CHECK(held.use_count() == 1);
  }
  CHECK(*held == 0);
}

}  // namespace
}  // namespace spillway::server
