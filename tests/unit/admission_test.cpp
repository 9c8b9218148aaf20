#include "server/admission.hpp"

#include <catch2/catch_test_macros.hpp>
#include <thread>
#include <vector>

namespace spillway::server {
namespace {

Limits limits(std::size_t running, std::size_t queue) {
  Limits limits;
  limits.concurrent_requests = running;
  limits.queue = queue;
  return limits;
}

// What was posted to it.
void run_all(WorkerLoop& loop) {
  while (loop.poll()) {
  }
}

TEST_CASE("Without a limit everybody is admitted, and counted") {
  Admission admission;
  for (int i = 0; i < 3; ++i) CHECK(admission.admit());
  CHECK(admission.running() == 3);
  admission.ended();
  CHECK(admission.running() == 2);
}

TEST_CASE("A turn comes when one that runs has ended, and wakes its owner on its own thread") {
  Admission admission;
  WorkerLoop loop;
  int woken = 0;
  admission.use(limits(1, 1));
  REQUIRE(admission.admit());
  REQUIRE_FALSE(admission.admit());
  const auto turn = admission.queue(loop, "a", [&] { ++woken; });
  REQUIRE(turn);
  CHECK(turn->waiting());
  CHECK(admission.waiting() == 1);
  CHECK(admission.queue(loop, "a", [] {}) == nullptr);
  admission.ended();
  CHECK_FALSE(turn->waiting());
  CHECK(woken == 0);
  run_all(loop);
  CHECK(woken == 1);
  CHECK(admission.settle(*turn));
  CHECK(admission.running() == 1);
  CHECK(admission.waiting() == 0);
}

TEST_CASE("Nobody overtakes those who wait") {
  Admission admission;
  WorkerLoop loop;
  admission.use(limits(1, 5));
  REQUIRE(admission.admit());
  const auto turn = admission.queue(loop, "a", [] {});
  CHECK_FALSE(admission.admit());
  CHECK(turn->waiting());
}

TEST_CASE("A higher limit lets those in who wait, and so do places that no limit counts") {
  for (const std::size_t limit : {std::size_t{2}, std::size_t{0}}) {
    Admission admission;
    WorkerLoop loop;
    admission.use(limits(1, 5));
    REQUIRE(admission.admit());
    const auto turn = admission.queue(loop, "a", [] {});
    REQUIRE(turn->waiting());
    admission.use(limits(limit, 0));
    CHECK_FALSE(turn->waiting());
    CHECK(admission.settle(*turn));
    CHECK(admission.admit() == (limit == 0));
  }
}

TEST_CASE("One that is settled before its turn holds no place, and one after it holds it") {
  Admission admission;
  WorkerLoop loop;
  admission.use(limits(1, 5));
  REQUIRE(admission.admit());
  const auto gone = admission.queue(loop, "a", [] {});
  const auto next = admission.queue(loop, "a", [] {});
  CHECK_FALSE(admission.settle(*gone));
  admission.ended();
  CHECK_FALSE(next->waiting());
  CHECK(admission.settle(*next));
  CHECK(admission.running() == 1);
}

TEST_CASE("A place that became free between the look and the wait is taken at once") {
  Admission admission;
  WorkerLoop loop;
  admission.use(limits(1, 5));
  REQUIRE(admission.admit());
  REQUIRE_FALSE(admission.admit());
  admission.ended();
  const auto turn = admission.queue(loop, "a", [] {});
  CHECK_FALSE(turn->waiting());
  CHECK(admission.settle(*turn));
}

TEST_CASE("What ends a wait by an exception gives up its turn, and a place that it got, once") {
  Admission admission;
  WorkerLoop loop;
  int woken = 0;
  const auto wait_in_vain = [&](bool let_in) {
    const Admission::Settlement turn(admission, admission.queue(loop, "a", [&] { ++woken; }));
    if (let_in) admission.ended();
    CHECK(turn.waiting() != let_in);
    throw std::bad_alloc();
  };
  admission.use(limits(1, 5));
  REQUIRE(admission.admit());
  CHECK_THROWS(wait_in_vain(false));
  CHECK(admission.waiting() == 0);
  CHECK(admission.running() == 1);
  CHECK_THROWS(wait_in_vain(true));
  CHECK(admission.running() == 0);
  run_all(loop);
  CHECK(woken == 0);
}

TEST_CASE("Once it is closed, a place that becomes free lets nobody in who waits") {
  Admission admission;
  WorkerLoop loop;
  admission.use(limits(1, 5));
  REQUIRE(admission.admit());
  const auto turn = admission.queue(loop, "a", [] {});
  admission.close();
  admission.ended();
  CHECK(turn->waiting());
  CHECK_FALSE(admission.settle(*turn));
}

TEST_CASE("A turn that was settled keeps its place until that is ended") {
  Admission admission;
  WorkerLoop loop;
  admission.use(limits(1, 5));
  REQUIRE(admission.admit());
  {
    Admission::Settlement turn(admission, admission.queue(loop, "a", [] {}));
    admission.ended();
    CHECK(turn.settle());
  }
  CHECK(admission.running() == 1);
}

TEST_CASE(
    "Threads that ask, wait, give up and end never run more than the limit, nor lose a place") {
  constexpr std::size_t kLimit = 3;
  Admission admission;
  admission.use(limits(kLimit, 4));
  std::atomic<std::size_t> running{0};
  std::atomic<std::size_t> most{0};
  const auto work = [&](std::string key, int gives_up_each) {
    WorkerLoop loop;
    for (int i = 0; i < 3000; ++i) {
      bool runs = admission.admit();
      if (!runs) {
        const auto turn = admission.queue(loop, key, [] {});
        if (!turn) continue;
        const bool patient = i % gives_up_each != 0;
        while (patient && turn->waiting()) std::this_thread::yield();
        runs = admission.settle(*turn);
      }
      if (!runs) continue;
      const std::size_t now = ++running;
      if (now > most) most = now;
      --running;
      admission.ended();
    }
    run_all(loop);  // what is left of the calls
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i)
    threads.emplace_back(work, std::string(1, static_cast<char>('a' + i % 3)), i + 2);
  for (std::thread& thread : threads) thread.join();
  CHECK(most <= kLimit);
  CHECK(admission.running() == 0);
  CHECK(admission.waiting() == 0);
}

}  // namespace
}  // namespace spillway::server
