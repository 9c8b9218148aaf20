#include "core/rate_window.hpp"

#include <catch2/catch_test_macros.hpp>
#include <deque>

#include "core/bounds.hpp"
#include "core/random.hpp"
#include "decision_support.hpp"

namespace spillway {
namespace {

using testing::kStart;
using Usage = RateWindow::Usage;

TEST_CASE("a window counts requests and tokens until a minute has passed since them") {
  RateWindow window;
  window.add({.requests = 1, .tokens = 10}, kStart);
  window.add({.requests = 1, .tokens = 5}, kStart + seconds(30));
  CHECK(window.used(kStart + seconds(30)) == Usage{2, 15});
  CHECK(window.used(kStart + seconds(60) - milliseconds(1)) == Usage{2, 15});
  CHECK(window.used(kStart + seconds(60)) == Usage{1, 5});
  CHECK(window.used(kStart + seconds(90)) == Usage{});
}

TEST_CASE("a window says when enough of it will have been forgotten") {
  RateWindow window;
  window.add({.requests = 1, .tokens = 50}, kStart);
  window.add({.requests = 1, .tokens = 50}, kStart + seconds(10));
  const TimePoint now = kStart + seconds(20);
  CHECK(window.requests_below(3, now) == now);
  CHECK(window.requests_below(2, now) == kStart + seconds(60));
  CHECK(window.requests_below(1, now) == kStart + seconds(70));
  CHECK(window.tokens_below(60, now) == kStart + seconds(60));
  CHECK(window.tokens_below(50, now) == kStart + seconds(70));
}

TEST_CASE("a limit of nothing is never met") {
  RateWindow window;
  CHECK(window.requests_below(0, kStart) > kStart);
}

TEST_CASE("a window tells its parts, each as old as the latest call in it") {
  RateWindow window;
  window.add({.requests = 1, .tokens = 10}, kStart);
  window.add({.requests = 1, .tokens = 5}, kStart + milliseconds(900));
  window.add({.requests = 1, .tokens = 0}, kStart + seconds(30));
  const auto spent = window.spent(kStart + seconds(40));
  REQUIRE(spent.size() == 2);
  CHECK(spent[0] == RateWindow::Spent{milliseconds(39'100), {2, 15}});
  CHECK(spent[1] == RateWindow::Spent{seconds(10), {1, 0}});
}

// Whatever the rhythm: a call goes whenever the window has room, and the calls are counted by hand.
TEST_CASE("no minute, wherever it begins, holds more than the limit, and none far less") {
  constexpr std::uint64_t kLimit = 20;
  Random random(3);
  RateWindow window;
  std::deque<TimePoint> calls;
  std::size_t made = 0;
  TimePoint now = kStart;
  const TimePoint end = kStart + minutes(20);
  for (; now < end; now += milliseconds(static_cast<int>(uniform(random) * 700))) {
    while (!calls.empty() && calls.front() + seconds(60) <= now) calls.pop_front();
    if (window.requests_below(kLimit, now) > now) continue;
    window.add({.requests = 1, .tokens = 0}, now);
    calls.push_back(now);
    ++made;
    REQUIRE(calls.size() <= kLimit);
  }
  CHECK(made > 19 * kLimit * 9 / 10);
}

}  // namespace
}  // namespace spillway
