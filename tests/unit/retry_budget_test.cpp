#include "core/retry_budget.hpp"

#include <catch2/catch_test_macros.hpp>

#include "decision_support.hpp"

namespace spillway {
namespace {

using testing::kStart;

RouterSettings with_shares(double retries, std::optional<HedgeRules> hedge = {}) {
  RouterSettings router;
  router.retry_budget_share = retries;
  router.hedge = hedge;
  return router;
}

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

TEST_CASE("another share counts for the requests that were counted before as well") {
  RetryBudget budget(with_shares(0.2));
  for (int i = 0; i < 100; ++i) budget.count_request(kStart);
  budget.use(with_shares(0.5));
  CHECK(draw_all(budget, kStart) == 50);
}

TEST_CASE("the share is the configured one") {
  RetryBudget budget(with_shares(0.5));
  for (int i = 0; i < 100; ++i) budget.count_request(kStart);
  CHECK(draw_all(budget, kStart) == 50);
}

TEST_CASE("a share of nothing leaves the three") {
  RetryBudget budget(with_shares(0.0));
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

TEST_CASE("at most a tenth of all requests is hedged") {
  RetryBudget budget(with_shares(1.0, HedgeRules{}));
  unsigned hedges = 0;
  for (unsigned requests = 1; requests <= 1000; ++requests) {
    budget.count_request(kStart);
    if (budget.draw_hedge(kStart)) {
      ++hedges;
      budget.give_back();
    }
    CHECK(hedges <= requests / 10);
  }
  CHECK(hedges == 100);
}

TEST_CASE("what quiet times save up is no more than ten hedges at once") {
  RetryBudget budget(with_shares(1.0, HedgeRules{}));
  for (int i = 0; i < 1000; ++i) budget.count_request(kStart);
  unsigned hedges = 0;
  while (budget.draw_hedge(kStart)) ++hedges;
  CHECK(hedges == 10);
}

TEST_CASE("a hedge is one of the group's retries too") {
  RetryBudget budget(with_shares(0.0, HedgeRules{.after = {}, .share = 1.0}));
  for (int i = 0; i < 10; ++i) budget.count_request(kStart);
  CHECK(draw_all(budget, kStart) == 3);
  CHECK_FALSE(budget.draw_hedge(kStart));
  budget.give_back();
  CHECK(budget.draw_hedge(kStart));
}

TEST_CASE("nothing is hedged where that is off") {
  RetryBudget budget;
  for (int i = 0; i < 1000; ++i) budget.count_request(kStart);
  CHECK_FALSE(budget.draw_hedge(kStart));
}

}  // namespace
}  // namespace spillway
