#include "core/limit_lease.hpp"

#include <catch2/catch_test_macros.hpp>
#include <deque>
#include <functional>
#include <map>
#include <vector>

#include "core/bounds.hpp"
#include "core/deployment_load.hpp"
#include "core/random.hpp"
#include "decision_support.hpp"

namespace spillway {
namespace {

using testing::kStart;
using Yields = LimitLease::Yields;

constexpr CallLimits kTenRequests{.rpm = 10, .tpm = {}, .parallel = {}};
constexpr CallLimits kThousandTokens{.rpm = {}, .tpm = 1000, .parallel = {}};

LeaseAnswer granting(LeaseAmounts granted, LeaseAmounts others = {}) {
  return {
      .granted = granted, .others = others, .requests_in = seconds(30), .tokens_in = seconds(40)};
}

// One instance's view of one deployment.
struct Holder {
  explicit Holder(const CallLimits& held_to) : limits(held_to) { load.lease().expect(now); }

  LeaseStatement state() { return load.lease_statement(limits, now); }
  bool answer(const LeaseAnswer& answer) { return load.lease().answered(answer, limits, now); }
  void grant(LeaseAmounts granted, LeaseAmounts others = {}) {
    state();
    REQUIRE(answer(granting(granted, others)));
  }
  Room room() { return load.room(limits, 0, now); }
  bool begin(std::uint64_t tokens = 0) {
    if (!load.room(limits, 0, now, tokens).left(now)) return false;
    load.begin(tokens, limits, now);
    return true;
  }

  DeploymentLoad load;
  CallLimits limits;
  TimePoint now = kStart;
};

TEST_CASE("what is granted is spent, and then more is asked for") {
  Holder here(kTenRequests);
  here.grant({2, 0});
  CHECK(here.begin());
  CHECK(here.begin());
  CHECK_FALSE(here.begin());
  CHECK(here.room().taken);
  CHECK(here.load.lease().take_news());
  CHECK_FALSE(here.load.lease().take_news());
  const LeaseStatement said = here.state();
  CHECK(said.keep == LeaseAmounts{0, 0});
  CHECK(said.need == LeaseAmounts{1, 0});
  CHECK(said.want.requests > 1);
  REQUIRE(said.used.size() == 1);
  CHECK(said.used[0] == RateWindow::Spent{Duration{}, {2, 0}});
}

TEST_CASE("what is spent while a statement is under way is spent of its answer") {
  Holder here(kTenRequests);
  here.grant({2, 0});
  here.state();
  CHECK(here.begin());
  REQUIRE(here.answer(granting({2, 0})));
  CHECK(here.begin());
  CHECK_FALSE(here.begin());
}

TEST_CASE("a page that looks at a deployment asks for nothing") {
  Holder here(kTenRequests);
  here.grant({1, 0});
  CHECK(here.begin());
  here.load.lease().take_news();
  CHECK(here.load.room(here.limits, 0, here.now, std::nullopt, Looking::only).taken);
  CHECK_FALSE(here.load.lease().take_news());
  CHECK(here.state().need == LeaseAmounts{0, 0});
}

TEST_CASE("a little is held ahead of need, and no more is wanted") {
  CHECK(standing_lease(0) == 0);
  CHECK(standing_lease(1) == 1);
  CHECK(standing_lease(600) == 60);
  Holder here({.rpm = 600, .tpm = 5000, .parallel = {}});
  CHECK(here.state().want == LeaseAmounts{60, 500});
}

TEST_CASE("a lease that runs low is news before it is used up") {
  Holder here({.rpm = 100, .tpm = {}, .parallel = {}});
  here.grant({10, 0});
  for (int i = 0; i < 5; ++i) CHECK(here.begin());
  CHECK_FALSE(here.load.lease().take_news());
  CHECK(here.begin());
  CHECK(here.load.lease().take_news());
}

TEST_CASE("a limit that all used up says when to come back, and nobody asks until then") {
  Holder here(kTenRequests);
  here.grant({0, 0});
  CHECK(here.room().limited_until == here.now + seconds(30));
  CHECK_FALSE(here.room().taken);
  CHECK_FALSE(here.load.lease().take_news());
  here.grant({1, 0});
  CHECK(here.room().left(here.now));
}

TEST_CASE("what others hold is waited for, but not for long") {
  Holder here(kTenRequests);
  here.grant({0, 0}, {3, 0});
  for (Duration waited{}; waited < bounds::kLeasePatience; waited += bounds::kProbePoll) {
    CHECK(here.room().taken);
    here.grant({0, 0}, {3, 0});
    here.now += bounds::kProbePoll;
  }
  CHECK(here.room().taken);
  here.grant({0, 0}, {3, 0});
  CHECK(here.room().limited_until > here.now);
}

TEST_CASE("whoever is asked gives back what it has not spent") {
  Holder here(kTenRequests);
  here.grant({5, 0});
  CHECK(here.begin());
  CHECK(here.load.lease().recall(Yields::no, here.now));
  CHECK_FALSE(here.begin());
  const LeaseStatement said = here.state();
  CHECK(said.keep == LeaseAmounts{});
  CHECK_FALSE(here.load.lease().recall(Yields::no, here.now));
}

TEST_CASE("what is given back is not wanted back in the same breath") {
  Holder here(kTenRequests);
  here.grant({5, 0});
  here.load.lease().recall(Yields::no, here.now);
  CHECK(here.state().want == LeaseAmounts{});
  REQUIRE(here.answer(granting({})));
  CHECK(here.state().want.requests == 1);
}

TEST_CASE("what is asked back while a statement is under way is not kept by its answer") {
  Holder here(kTenRequests);
  here.grant({5, 0});
  here.state();
  CHECK(here.load.lease().recall(Yields::no, here.now));
  REQUIRE(here.answer(granting({5, 0})));
  CHECK_FALSE(here.begin());
}

TEST_CASE("what was got for a request that waits is not given away before it comes back") {
  Holder here(kTenRequests);
  here.grant({0, 0}, {3, 0});
  CHECK(here.room().taken);
  here.grant({1, 0}, {2, 0});
  CHECK_FALSE(here.load.lease().recall(Yields::yes, here.now));
  CHECK(here.begin());
  here.now += bounds::kLeaseWish;
  here.grant({1, 0}, {2, 0});
  CHECK(here.load.lease().recall(Yields::yes, here.now));
}

TEST_CASE("of two that wait for more tokens than each has, one gives way") {
  for (const Yields yields : {Yields::no, Yields::yes}) {
    Holder here(kThousandTokens);
    here.grant({0, 100}, {0, 100});
    CHECK_FALSE(here.begin(150));
    CHECK(here.load.lease().recall(yields, here.now) == (yields == Yields::yes));
  }
}

TEST_CASE("whoever gives way does not ask back what it gives") {
  Holder here(kThousandTokens);
  here.grant({0, 100}, {0, 100});
  CHECK_FALSE(here.begin(150));
  CHECK(here.load.lease().recall(Yields::yes, here.now));
  const LeaseStatement said = here.state();
  CHECK(said.need == said.keep);
  CHECK(here.answer(granting({0, 0}, {0, 200})));
  CHECK(here.state().need.tokens == 150);
}

TEST_CASE("tokens are set aside for a call, and what it did not use comes back") {
  Holder here(kThousandTokens);
  here.grant({0, 300}, {0, 1});
  CHECK(here.begin(200));
  CHECK_FALSE(here.begin(200));
  here.load.note_tokens(50, here.limits, here.now);
  here.load.end(200);
  CHECK(here.begin(200));
}

TEST_CASE("only who holds all that is left begins a call that may exceed it") {
  Holder here(kThousandTokens);
  here.grant({0, 100}, {0, 1});
  CHECK_FALSE(here.begin(200));
  here.grant({0, 100});
  CHECK(here.begin(200));
  CHECK_FALSE(here.begin(1));
}

TEST_CASE("tokens of calls in flight stay held, whatever is asked back or lost") {
  Holder here(kThousandTokens);
  here.grant({0, 300});
  CHECK(here.begin(200));
  here.load.lease().recall(Yields::yes, here.now);
  CHECK_FALSE(here.begin(1));
  CHECK(here.state().keep == LeaseAmounts{0, 200});
  here.load.lease().lose();
  CHECK(here.state().keep == LeaseAmounts{0, 200});
}

// --- a ledger that is of no use ------------------------------------------------------------------

TEST_CASE("without an answer the first requests wait for a moment, and then go by their own") {
  Holder here(kTenRequests);
  CHECK(here.room().taken);
  here.now += bounds::kLeasePatience;
  for (int i = 0; i < 10; ++i) CHECK(here.begin());
  CHECK_FALSE(here.begin());
}

TEST_CASE("an answer that comes too late is of no use, and the next one in time is") {
  Holder here(kTenRequests);
  here.state();
  here.now += bounds::kLeasePatience + milliseconds(1);
  CHECK_FALSE(here.answer(granting({1, 0})));
  CHECK_FALSE(here.load.lease().rules(here.now));
  for (int i = 0; i < 10; ++i) CHECK(here.begin());
  here.grant({1, 0});
  CHECK(here.load.lease().rules(here.now));
}

TEST_CASE("a question without an answer ends the lease's rule, though some of it is left") {
  Holder here(kTenRequests);
  here.grant({1, 0});
  here.state();
  here.now += bounds::kLeasePatience;
  CHECK_FALSE(here.load.lease().rules(here.now));
  CHECK(here.state().keep == LeaseAmounts{});
}

TEST_CASE("what was asked for after a statement is not answered by its answer") {
  Holder here(kTenRequests);
  here.grant({0, 0}, {3, 0});
  here.state();
  CHECK(here.room().taken);
  here.now += bounds::kLeasePatience / 2;
  REQUIRE(here.answer(granting({0, 0}, {3, 0})));
  CHECK(here.load.lease().rules(here.now));
  here.now += bounds::kLeasePatience / 2;
  CHECK_FALSE(here.load.lease().rules(here.now));
}

TEST_CASE("a lease that nobody renews ends, counted from when it was asked for") {
  Holder here(kTenRequests);
  here.state();
  here.now += bounds::kLeasePatience / 2;
  REQUIRE(here.answer(granting({1, 0})));
  here.now = kStart + bounds::kLeaseLength - milliseconds(1);
  CHECK(here.load.lease().rules(here.now));
  here.now += milliseconds(1);
  CHECK_FALSE(here.load.lease().rules(here.now));
}

TEST_CASE("a ledger that went away leaves each instance its own window") {
  Holder here(kTenRequests);
  here.grant({5, 0});
  for (int i = 0; i < 5; ++i) CHECK(here.begin());
  here.load.lease().lose();
  for (int i = 0; i < 5; ++i) CHECK(here.begin());
  CHECK_FALSE(here.begin());
}

TEST_CASE("without other instances no lease is ever expected") {
  DeploymentLoad load;
  CHECK_FALSE(load.lease().rules(kStart));
  load.begin(0, kTenRequests, kStart);
  CHECK_FALSE(load.lease().take_news());
}

// --- several instances and a ledger --------------------------------------------------------------

// What the script in server/shared_limits.cpp does, in short.
class Ledger {
 public:
  struct Entry {
    TimePoint ends{};
    std::int64_t held = 0;
    std::vector<std::pair<TimePoint, std::int64_t>> used;
  };

  LeaseAnswer state(int self, const LeaseStatement& said, std::int64_t limit, TimePoint now) {
    std::int64_t used = 0, held = 0;
    const auto count = [&](TimePoint at, std::int64_t n) {
      if (at + bounds::kRateWindow > now) used += n;
    };
    entries_[self].used.clear();
    for (const auto& part : said.used)
      entries_[self].used.push_back(
          {now - part.age, static_cast<std::int64_t>(part.usage.requests)});
    for (const auto& [id, entry] : entries_) {
      for (const auto& [at, n] : entry.used) count(at, n);
      if (id == self) continue;
      if (entry.ends > now)
        held += entry.held;
      else
        count(entry.ends, entry.held);
    }
    const std::int64_t keep = said.keep.requests;
    const std::int64_t room = limit - used - held - keep;
    const std::int64_t granted =
        keep + std::max<std::int64_t>(0, std::min(said.want.requests - keep, room));
    entries_[self].ends = now + bounds::kLeaseLength;
    entries_[self].held = granted;
    wanting = held > 0 && granted < said.need.requests;
    return {.granted = {granted, 0},
            .others = {held, 0},
            .requests_in = seconds(1),
            .tokens_in = seconds(1)};
  }
  bool wanting = false;

 private:
  std::map<int, Entry> entries_;
};

// Instances that call whenever they may; messages that take their time; instances that die.
class Cluster {
 public:
  Cluster(std::uint64_t seed, int count, std::int64_t limit) : random_(seed), limit_(limit) {
    limits_.rpm = static_cast<std::uint64_t>(limit);
    for (int i = 0; i < count; ++i) revive(i);
  }

  void run(Duration time) {
    for (const TimePoint end = now_ + time; now_ < end; now_ += milliseconds(1)) step();
  }

  std::size_t made = 0;

 private:
  struct Instance {
    DeploymentLoad load;
    TimePoint stated_at{};
    int id = 0;
    bool under_way = false;
    bool asked = false;
    TimePoint polls_at{};
  };

  // A new process: it knows nothing, and is nobody that was there before.
  void revive(int slot) {
    Instance& fresh = instances_[slot] = {};
    fresh.id = next_id_++;
    fresh.load.lease().expect(now_);
  }

  void later(Duration delay, std::function<void()> what) {
    events_.emplace(now_ + delay, std::move(what));
  }
  Duration travel() { return milliseconds(1 + static_cast<int>(uniform(random_) * 20)); }

  void step() {
    while (!events_.empty() && events_.begin()->first <= now_) {
      const auto what = std::move(events_.begin()->second);
      events_.erase(events_.begin());
      what();
    }
    if (uniform(random_) < 0.0002) revive(static_cast<int>(uniform(random_) * 3));
    for (auto& [slot, instance] : instances_) {
      call(instance);
      talk(slot, instance);
    }
  }

  void call(Instance& instance) {
    if (now_ < instance.polls_at) return;
    instance.polls_at = now_ + milliseconds(static_cast<int>(uniform(random_) * 40));
    if (!instance.load.room(limits_, 0, now_, 0).left(now_)) return;
    instance.load.begin(0, limits_, now_);
    while (!calls_.empty() && calls_.front() + bounds::kRateWindow <= now_) calls_.pop_front();
    calls_.push_back(now_);
    ++made;
    REQUIRE(static_cast<std::int64_t>(calls_.size()) <= limit_);
  }

  void talk(int slot, Instance& instance) {
    instance.asked |= instance.load.lease().take_news();
    const Duration pause = instance.asked ? bounds::kLeasePause : bounds::kLeaseRenewal;
    if (instance.under_way || now_ < instance.stated_at + pause) return;
    instance.under_way = true;
    instance.asked = false;
    instance.stated_at = now_;
    const LeaseStatement said = instance.load.lease_statement(limits_, now_);
    const int id = instance.id;
    later(travel(), [this, slot, id, said] {
      const LeaseAnswer answer = ledger_.state(id, said, limit_, now_);
      if (ledger_.wanting) recall(id);
      later(travel(), [this, slot, id, answer] {
        Instance& asker = instances_[slot];
        if (asker.id != id) return;  // it died meanwhile
        asker.under_way = false;
        CHECK(asker.load.lease().answered(answer, limits_, now_));
      });
    });
  }

  void recall(int asker) {
    later(travel(), [this, asker] {
      for (auto& [slot, instance] : instances_) {
        const Yields yields = asker < instance.id ? Yields::yes : Yields::no;
        if (instance.id != asker) instance.asked |= instance.load.lease().recall(yields, now_);
      }
    });
  }

  Random random_;
  std::int64_t limit_;
  CallLimits limits_;
  TimePoint now_ = kStart;
  Ledger ledger_;
  std::map<int, Instance> instances_;
  std::multimap<TimePoint, std::function<void()>> events_;
  std::deque<TimePoint> calls_;
  int next_id_ = 1;
};

TEST_CASE("no minute over all instances holds more than the limit, whoever dies when") {
  for (const std::int64_t limit : {1, 3, 10, 200}) {
    for (std::uint64_t seed = 1; seed <= 3; ++seed) {
      CAPTURE(limit, seed);
      Cluster cluster(seed, 3, limit);
      cluster.run(minutes(5));
      CHECK(cluster.made >= 2 * static_cast<std::size_t>(limit));
    }
  }
}

}  // namespace
}  // namespace spillway
