#include "server/deadline.hpp"

#include <catch2/catch_test_macros.hpp>
#include <memory>
#include <string>

namespace spillway::server {
namespace {

// Times that have passed expire as soon as the loop runs, in their order.
TimePoint ago(int count) {
  return std::chrono::steady_clock::now() - milliseconds(count);
}
TimePoint far_away() {
  return std::chrono::steady_clock::now() + std::chrono::hours(1);
}

class Expiries {
 public:
  std::unique_ptr<Deadline> make(char name) {
    return std::make_unique<Deadline>(queue_, [this, name] { seen += name; });
  }
  // Runs what is due, as often as the queue wants to be woken.
  void run() {
    while (wake_at_ <= std::chrono::steady_clock::now()) {
      wake_at_ = TimePoint::max();
      queue_.run_due();
    }
  }
  TimePoint wake_at() const { return wake_at_; }
  DeadlineQueue& queue() { return queue_; }
  std::string seen;

 private:
  TimePoint wake_at_ = TimePoint::max();
  DeadlineQueue queue_{[this](TimePoint when) { wake_at_ = when; }};
};

TEST_CASE("deadlines expire once, the soonest first") {
  Expiries expiries;
  const auto late = expiries.make('b'), early = expiries.make('a');
  late->arm(ago(1));
  early->arm(ago(2));
  expiries.run();
  CHECK(expiries.seen == "ab");
  expiries.run();
  CHECK(expiries.seen == "ab");
}

TEST_CASE("a deadline that was disarmed or moved away does not expire") {
  Expiries expiries;
  const auto disarmed = expiries.make('a'), moved = expiries.make('b'), kept = expiries.make('c');
  disarmed->arm(ago(3));
  moved->arm(ago(2));
  kept->arm(ago(1));
  disarmed->disarm();
  moved->arm(far_away());
  expiries.run();
  CHECK(expiries.seen == "c");
}

TEST_CASE("a deadline may be moved nearer") {
  Expiries expiries;
  const auto deadline = expiries.make('a');
  deadline->arm(far_away());
  deadline->arm(ago(1));
  expiries.run();
  CHECK(expiries.seen == "a");
}

TEST_CASE("a deadline that is gone does not expire") {
  Expiries expiries;
  auto gone = expiries.make('a');
  const auto kept = expiries.make('b');
  gone->arm(ago(2));
  kept->arm(ago(1));
  gone.reset();
  expiries.run();
  CHECK(expiries.seen == "b");
}

TEST_CASE("a deadline may be armed again where it expires") {
  Expiries expiries;
  int left = 3;
  std::unique_ptr<Deadline> deadline;
  deadline = std::make_unique<Deadline>(expiries.queue(), [&] {
    expiries.seen += 'a';
    if (--left > 0) deadline->arm(ago(1));
  });
  deadline->arm(ago(1));
  expiries.run();
  CHECK(expiries.seen == "aaa");
}

TEST_CASE("the queue wants to be woken for the soonest deadline") {
  Expiries expiries;
  const auto later = expiries.make('b'), soon = expiries.make('a');
  const TimePoint hour = far_away();
  later->arm(hour);
  CHECK(expiries.wake_at() == hour);
  soon->arm(hour - minutes(1));
  CHECK(expiries.wake_at() == hour - minutes(1));
  soon->arm(hour + minutes(1));  // is looked at when the time comes
  CHECK(expiries.wake_at() == hour - minutes(1));
}

}  // namespace
}  // namespace spillway::server
