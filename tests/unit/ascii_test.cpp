#include "core/ascii.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <string>

namespace spillway {
namespace {

std::string lowered(std::string text) {
  for (char& c : text) c = ascii::lower(c);
  return text;
}

TEST_CASE("Two bytes are equal ignoring case as their lower case is") {
  const std::string around = GENERATE("", "abc", "seven77", "x-request-id-and-more");
  for (int x = 0; x < 256; ++x) {
    for (int y = 0; y < 256; ++y) {
      const std::string a = around + static_cast<char>(x), b = around + static_cast<char>(y);
      const bool same = lowered(a) == lowered(b);
      if (equals_ignoring_case(a, b) != same) FAIL(x << " and " << y << " behind " << around);
    }
  }
}

TEST_CASE("Texts of every length are compared to their last byte") {
  const auto size = static_cast<std::size_t>(GENERATE(range(1, 40)));
  const std::string upper(size, 'K'), lower(size, 'k');
  CHECK(equals_ignoring_case(upper, lower));
  CHECK_FALSE(equals_ignoring_case(upper, lower + "k"));
  for (std::size_t i = 0; i < size; ++i) {
    std::string other = lower;
    other[i] = 'l';
    CHECK_FALSE(equals_ignoring_case(upper, other));
  }
}

TEST_CASE("The start of a text, and a part of it, are found in any letter case") {
  CHECK(starts_with_ignoring_case("Text/Event-Stream; charset=utf-8", "text/event-stream"));
  CHECK_FALSE(starts_with_ignoring_case("text", "text/event-stream"));
  CHECK(contains_ignoring_case("application/XHTML+xml", "html"));
  CHECK(contains_ignoring_case("html", "HTML"));
  CHECK(contains_ignoring_case("", ""));
  CHECK_FALSE(contains_ignoring_case("application/json", "html"));
  CHECK_FALSE(contains_ignoring_case("htm", "html"));
}

}  // namespace
}  // namespace spillway
