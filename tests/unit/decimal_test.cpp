#include "core/decimal.hpp"

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <string>

namespace spillway {
namespace {

struct Taken {
  std::optional<double> number;
  std::string_view rest;
  bool operator==(const Taken&) const = default;
};

Taken take(std::string_view text) {
  const auto number = take_decimal(text);
  return {number, text};
}

TEST_CASE("a decimal number is taken off the front of a text") {
  CHECK(take("12s") == Taken{12.0, "s"});
  CHECK(take("-0.5") == Taken{-0.5, ""});
  CHECK(take(".5 ") == Taken{0.5, " "});
  CHECK(take("1e3,") == Taken{1000.0, ","});
  CHECK(take("1e") == Taken{1.0, "e"});
}

TEST_CASE("what is no decimal number stays") {
  for (const std::string_view text : {"", "-", ".", "-.", "x1", "+1", "inf", "nan", "-inf", " 1"}) {
    CAPTURE(text);
    CHECK(take(text) == Taken{std::nullopt, text});
  }
}

TEST_CASE("a number beyond a double is infinite or nothing, as its digits and exponent say") {
  const std::string zeros(400, '0');
  for (const std::string& huge :
       {std::string("1e400"), std::string("0.1e999"), "0." + zeros + "1e999", "1" + zeros,
        "1" + zeros + "e-50", std::string("1E99999999999999999999"), std::string(".001e+400")}) {
    CAPTURE(huge);
    CHECK(take(huge) == Taken{HUGE_VAL, ""});
    CHECK(take("-" + huge).number == -HUGE_VAL);
  }
  for (const std::string& tiny :
       {std::string("1e-400"), "0." + zeros + "1", "1" + zeros + "e-999", std::string("0e999"),
        std::string("0.00E9999"), std::string("1e-99999999999999999999")}) {
    CAPTURE(tiny);
    CHECK(take(tiny) == Taken{0.0, ""});
  }
}

}  // namespace
}  // namespace spillway
