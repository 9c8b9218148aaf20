#include "server/callback.hpp"

#include <array>
#include <catch2/catch_test_macros.hpp>
#include <memory>
#include <utility>

namespace spillway::server {
namespace {

static_assert(sizeof(Callback) == 2 * sizeof(void*));

void call_moved(Callback callback) {
  Callback moved(std::move(callback));
  moved();
}

TEST_CASE("a callback calls what it was given, however much that has captured") {
  int sum = 0;
  const std::array<int, 20> many{1, 2, 3};
  call_moved([&sum] { ++sum; });
  CHECK(sum == 1);
  call_moved([&sum, many] { sum += many[2]; });
  CHECK(sum == 4);
}

TEST_CASE("what a callback has captured goes with it, once") {
  const auto held = std::make_shared<int>(0);
  {
    Callback callback([held] { ++*held; });
    CHECK(held.use_count() == 2);
    Callback moved(std::move(callback));
    CHECK(held.use_count() == 2);
    moved();
  }
  CHECK(held.use_count() == 1);
  CHECK(*held == 1);
}

}  // namespace
}  // namespace spillway::server
