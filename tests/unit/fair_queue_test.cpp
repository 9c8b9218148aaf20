#include "core/fair_queue.hpp"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <map>
#include <random>
#include <vector>

namespace spillway {
namespace {

using Ticket = FairQueue::Ticket;

Ticket join(FairQueue& queue, std::string_view key) {
  const auto joined = queue.join(key, 100);
  REQUIRE(joined.ticket);
  REQUIRE_FALSE(joined.displaced);
  return *joined.ticket;
}

TEST_CASE("Requests of one key are served in the order in which they came") {
  FairQueue queue;
  const Ticket first = join(queue, "a");
  const Ticket second = join(queue, "a");
  CHECK(queue.size() == 2);
  CHECK(queue.next() == first);
  CHECK(queue.next() == second);
  CHECK(queue.next() == std::nullopt);
  CHECK(queue.size() == 0);
}

TEST_CASE("Keys take turns, however many requests one of them has") {
  FairQueue queue;
  std::vector<Ticket> flood;
  for (int i = 0; i < 10; ++i) flood.push_back(join(queue, "flood"));
  const Ticket other = join(queue, "other");
  const Ticket third = join(queue, "third");
  CHECK(queue.next() == flood[0]);
  CHECK(queue.next() == other);
  CHECK(queue.next() == third);
  CHECK(queue.next() == flood[1]);
  CHECK(queue.next() == flood[2]);
}

TEST_CASE("Requests without a key wait as those of one key do") {
  FairQueue queue;
  const Ticket nobody = join(queue, "");
  const Ticket again = join(queue, "");
  const Ticket somebody = join(queue, "a");
  CHECK(queue.next() == somebody);
  CHECK(queue.next() == nobody);
  CHECK(queue.next() == again);
}

TEST_CASE("One that leaves is not served, and leaves once") {
  FairQueue queue;
  const Ticket first = join(queue, "a");
  const Ticket second = join(queue, "a");
  CHECK(queue.leave(first, "a"));
  CHECK_FALSE(queue.leave(first, "a"));
  CHECK(queue.next() == second);
  CHECK_FALSE(queue.leave(second, "a"));
  CHECK(queue.size() == 0);
}

TEST_CASE("Without places everybody is refused") {
  FairQueue queue;
  CHECK(queue.join("a", 0).ticket == std::nullopt);
  CHECK(queue.size() == 0);
}

TEST_CASE("A flood fills the queue, and makes room for whoever has less of it") {
  FairQueue queue;
  std::vector<Ticket> flood;
  for (int i = 0; i < 4; ++i) flood.push_back(*queue.join("flood", 4).ticket);
  CHECK(queue.join("flood", 4).ticket == std::nullopt);

  const auto first = queue.join("other", 4);
  CHECK(first.ticket);
  CHECK(first.displaced == flood[3]);
  const auto second = queue.join("other", 4);
  CHECK(second.ticket);
  CHECK(second.displaced == flood[2]);
  // Both have two now.
  CHECK(queue.join("other", 4).ticket == std::nullopt);
  CHECK(queue.join("flood", 4).ticket == std::nullopt);
  CHECK(queue.join("third", 4).displaced);
  CHECK(queue.size() == 4);
}

// What must hold whatever comes in whatever order, told by a list that is searched from its front.
class Referee {
 public:
  explicit Referee(unsigned seed) : random_(seed) {}

  void step() {
    switch (std::uniform_int_distribution<int>(0, 5)(random_)) {
      case 0:
        return leave();
      case 1:
      case 2:
        return serve();
      default:
        return join();
    }
  }

 private:
  struct Waiting {
    Ticket ticket;
    std::string key;
  };

  std::size_t of(const std::string& key) const {
    return static_cast<std::size_t>(std::ranges::count(waiting_, key, &Waiting::key));
  }
  std::size_t longest() const {
    std::size_t most = 0;
    for (const Waiting& one : waiting_) most = std::max(most, of(one.key));
    return most;
  }
  std::string any_key() {
    // One key is a flood.
    const int pick = std::uniform_int_distribution<int>(0, 9)(random_);
    return pick < 6 ? "flood" : std::string(1, static_cast<char>('a' + pick - 6));
  }

  void join() {
    constexpr std::size_t kPlaces = 8;
    const std::string key = any_key();
    const std::size_t before = of(key);
    const std::size_t most = longest();
    const auto joined = queue_.join(key, kPlaces);
    if (joined.displaced) {
      const auto gone = std::ranges::find(waiting_, *joined.displaced, &Waiting::ticket);
      REQUIRE(gone != waiting_.end());
      CHECK(waiting_.size() == kPlaces);
      CHECK(of(gone->key) == most);
      CHECK(of(gone->key) > before + 1);
      waiting_.erase(gone);
    }
    if (!joined.ticket) {
      CHECK(waiting_.size() == kPlaces);
      CHECK(before + 1 >= most);  // it has its share
      return;
    }
    waiting_.push_back(Waiting{*joined.ticket, key});
    CHECK(queue_.size() == waiting_.size());
    CHECK(queue_.size() <= kPlaces);
  }

  void serve() {
    const auto next = queue_.next();
    CHECK(next.has_value() == !waiting_.empty());
    if (!next) return;
    const auto served = std::ranges::find(waiting_, *next, &Waiting::ticket);
    REQUIRE(served != waiting_.end());
    // The first of its key, and nobody who is first of another key has been passed by twice.
    CHECK(std::ranges::find(waiting_, served->key, &Waiting::key) == served);
    const std::string key = served->key;
    waiting_.erase(served);
    for (const Waiting& other : waiting_) {
      const bool first = &*std::ranges::find(waiting_, other.key, &Waiting::key) == &other;
      if (!first || other.key == key) continue;
      int& count = passed_by_[other.key][key];
      CHECK(++count <= 1);
    }
    passed_by_.erase(key);
  }

  void leave() {
    if (waiting_.empty()) return;
    const auto pick = std::uniform_int_distribution<std::size_t>(0, waiting_.size() - 1)(random_);
    const Waiting leaving = waiting_[pick];
    CHECK(queue_.leave(leaving.ticket, leaving.key));
    CHECK_FALSE(queue_.leave(leaving.ticket, leaving.key));
    waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(pick));
    if (of(leaving.key) == 0) passed_by_.erase(leaving.key);
  }

  std::mt19937 random_;
  FairQueue queue_;
  std::vector<Waiting> waiting_;  // in the order of joining
  // By the key that waits and the key that was served meanwhile.
  std::map<std::string, std::map<std::string, int>> passed_by_;
};

TEST_CASE("In any order of events nobody is lost, starved or served out of turn") {
  const auto seed = GENERATE(range(1u, 41u));
  INFO("seed " << seed);
  Referee referee(seed);
  for (int i = 0; i < 2000; ++i) referee.step();
}

}  // namespace
}  // namespace spillway
