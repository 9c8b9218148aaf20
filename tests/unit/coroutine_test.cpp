#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <catch2/catch_test_macros.hpp>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/time.hpp"
#include "server/asio.hpp"

using namespace spillway::server;
using spillway::TimePoint;

namespace {

Awaitable<int> at_once(int value) {
  co_return value;
}

Awaitable<std::string> after_a_turn(asio::io_context& io, std::string text) {
  co_await asio::post(io, asio::deferred);
  co_return text;
}

Awaitable<void> fails_after_a_turn(asio::io_context& io) {
  co_await asio::post(io, asio::deferred);
  throw std::runtime_error("broken");
}

Awaitable<void> say_both(asio::io_context& io, std::string& said) {
  const int number = co_await at_once(42);
  said += std::to_string(number);
  said += co_await after_a_turn(io, " turns");
}

Awaitable<void> sum_up(int times, long& sum) {
  for (int i = 0; i < times; ++i) sum += co_await at_once(i);
}

Awaitable<void> catch_it(asio::io_context& io, std::string& said) {
  try {
    co_await fails_after_a_turn(io);
  } catch (const std::exception& error) {
    said = error.what();
  }
}

Awaitable<void> wait_long(Timer& timer, std::shared_ptr<int> held) {
  error_code ec;
  co_await timer.async_wait(to(ec));
  *held = ec ? 1 : 2;
}

Awaitable<void> wait_long_inside(Timer& timer, std::shared_ptr<int> held) {
  const std::shared_ptr<int> own = held;
  co_await wait_long(timer, std::move(held));
}

Awaitable<void> cannot_begin_to_wait(std::string& said) {
  const auto no_room = [](coroutine::Chain::Waiting) {
    throw std::runtime_error("no room to wait");
  };
  try {
    co_await coroutine::Wait(no_room);
  } catch (const std::exception& error) {
    said = error.what();
  }
}

Awaitable<void> note_turns_once(std::vector<std::uint64_t>& turns) {
  turns.push_back(coroutine_turn());
  co_return;
}

Awaitable<std::uint64_t> turn_inside() {
  co_return coroutine_turn();
}

Awaitable<void> note_turns(asio::io_context& io, std::vector<std::uint64_t>& turns) {
  turns.push_back(coroutine_turn());
  turns.push_back(co_await turn_inside());
  co_await asio::post(io, asio::deferred);
  turns.push_back(coroutine_turn());
  std::vector<std::uint64_t> others;
  spawn(note_turns_once(others));
  turns.push_back(others.at(0));
}

}  // namespace

TEST_CASE("a chain of coroutines goes on where the innermost waited") {
  asio::io_context io;
  std::string said;
  bool ended = false;
  spawn(say_both(io, said), [&](std::exception_ptr error) { ended = !error; });
  CHECK(said == "42");
  CHECK_FALSE(ended);
  io.run();
  CHECK(said == "42 turns");
  CHECK(ended);
}

TEST_CASE("a coroutine that ends at once a million times takes no stack for it") {
  long sum = 0;
  spawn(sum_up(1'000'000, sum));
  CHECK(sum == 499'999'500'000);
}

TEST_CASE("what a coroutine throws comes out where it is awaited") {
  asio::io_context io;
  std::string said;
  spawn(catch_it(io, said));
  io.run();
  CHECK(said == "broken");
}

TEST_CASE("what a chain throws is told to whoever spawned it, or else to the event loop") {
  asio::io_context io;
  std::exception_ptr told;
  spawn(fails_after_a_turn(io), [&](std::exception_ptr error) { told = error; });
  io.run();
  CHECK_THROWS_AS(std::rethrow_exception(told), std::runtime_error);
  io.restart();
  spawn(fails_after_a_turn(io));
  CHECK_THROWS_AS(io.run(), std::runtime_error);
}

TEST_CASE("a chain is destroyed with the event loop that it waits in") {
  const auto held = std::make_shared<int>(0);
  bool told = false;
  auto io = std::make_unique<asio::io_context>();
  auto timer = std::make_unique<Timer>(*io, TimePoint::max());
  spawn(wait_long_inside(*timer, held), [&](std::exception_ptr) { told = true; });
  CHECK(held.use_count() == 3);
  timer.reset();  // posts the end of the wait, which nobody runs
  io.reset();
  CHECK(held.use_count() == 1);
  CHECK(*held == 0);
  CHECK_FALSE(told);
}

TEST_CASE("a coroutine hears by an exception that its wait could not begin") {
  std::string said;
  bool ended = false;
  spawn(cannot_begin_to_wait(said), [&](std::exception_ptr error) { ended = !error; });
  CHECK(said == "no room to wait");
  CHECK(ended);
}

TEST_CASE("a turn lasts until all coroutines wait, and there is none outside of them") {
  asio::io_context io;
  std::vector<std::uint64_t> turns;
  CHECK(coroutine_turn() == 0);
  spawn(note_turns(io, turns));
  CHECK(coroutine_turn() == 0);
  io.run();
  REQUIRE(turns.size() == 4);
  CHECK(turns[0] > 0);
  CHECK(turns[1] == turns[0]);
  CHECK(turns[2] > turns[0]);
  CHECK(turns[3] == turns[2]);
}

TEST_CASE("a coroutine that is never awaited never runs") {
  long sum = 0;
  { const auto unused = sum_up(3, sum); }
  CHECK(sum == 0);
}
