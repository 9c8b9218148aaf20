#include "core/retry_budget.hpp"

#include <catch2/catch_test_macros.hpp>

#include "decision_support.hpp"

namespace spillway {
namespace {

using testing::kStart;

unsigned draw_all(RetryBudget& budget, TimePoint now) {
  unsigned drawn = 0;
  while (budget.draw(now)) ++drawn;
  return drawn;
}

TEST_CASE("a quiet group may have three retries at once") {
  RetryBudget budget;
  CHECK(draw_all(budget, kStart) == 3);
  CHECK(budget.held() == 3);
}

TEST_CASE("a busy group may have a fifth of its recent requests at once") {
  RetryBudget budget;
  for (int i = 0; i < 100; ++i) budget.count_request(kStart);
  CHECK(draw_all(budget, kStart) == 20);
}

TEST_CASE("the share is the configured one") {
  RetryBudget budget(0.5);
  for (int i = 0; i < 100; ++i) budget.count_request(kStart);
  CHECK(draw_all(budget, kStart) == 50);
}

TEST_CASE("a share of nothing leaves the three") {
  RetryBudget budget(0.0);
  for (int i = 0; i < 100; ++i) budget.count_request(kStart);
  CHECK(draw_all(budget, kStart) == 3);
}

TEST_CASE("what is given back can be drawn again, and no more than was drawn") {
  RetryBudget budget;
  draw_all(budget, kStart);
  budget.give_back();
  CHECK(budget.draw(kStart));
  CHECK_FALSE(budget.draw(kStart));
  for (int i = 0; i < 10; ++i) budget.give_back();
  CHECK(budget.held() == 0);
}

TEST_CASE("requests older than ten seconds earn nothing") {
  RetryBudget budget;
  for (int i = 0; i < 100; ++i) budget.count_request(kStart);
  CHECK(draw_all(budget, kStart + seconds(8)) == 20);
  for (int i = 0; i < 20; ++i) budget.give_back();
  CHECK(draw_all(budget, kStart + seconds(11)) == 3);
}

TEST_CASE("a sliding count forgets slot by slot, not all at once") {
  SlidingCount<10> count(seconds(10));
  for (int second = 0; second < 10; ++second) count.add(kStart + seconds(second));
  CHECK(count.total(kStart + seconds(9)) == 10);
  CHECK(count.total(kStart + seconds(12)) == 7);
  CHECK(count.total(kStart + seconds(30)) == 0);
}

TEST_CASE("a sliding count reuses a slot only for newer time") {
  SlidingCount<10> count(seconds(10));
  count.add(kStart);
  count.add(kStart + seconds(10));
  CHECK(count.total(kStart + seconds(10)) == 1);
  count.clear();
  CHECK(count.total(kStart + seconds(10)) == 0);
}

TEST_CASE("a sliding count counts times before the epoch") {
  SlidingCount<10> count(seconds(10));
  const TimePoint before{-std::chrono::hours(1)};
  count.add(before);
  CHECK(count.total(before + seconds(1)) == 1);
  CHECK(count.total(before + seconds(11)) == 0);
}

}  // namespace
}  // namespace spillway
