// A Secret cannot be printed: what does not compile is not done by mistake.
#include "core/secret.hpp"

#include <fmt/format.h>
#include <fmt/ostream.h>

#include <catch2/catch_test_macros.hpp>
#include <concepts>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <string_view>
#include <type_traits>

namespace {

using spillway::Secret;

template <typename T>
concept Streamable = requires(std::ostream& out, const T& value) {
  out << value;
};

template <typename T>
concept Appendable = requires(std::string& text, const T& value) {
  text += value;
};

// The checks see what they are meant to see.
static_assert(Streamable<std::string> && !Streamable<Secret>);
static_assert(Appendable<std::string> && !Appendable<Secret>);
static_assert(fmt::is_formattable<std::string>::value && !fmt::is_formattable<Secret>::value);
static_assert(std::is_constructible_v<nlohmann::json, std::string> &&
              !std::is_constructible_v<nlohmann::json, Secret>);
static_assert(!std::is_convertible_v<Secret, std::string>);
static_assert(!std::is_convertible_v<Secret, std::string_view>);
static_assert(!std::is_convertible_v<Secret, const char*>);
static_assert(!std::is_convertible_v<Secret, bool>);
static_assert(!std::is_convertible_v<std::string, Secret>);

}  // namespace

TEST_CASE("A secret is read by name only") {
  const Secret secret("sk-canary");
  CHECK(secret.reveal() == "sk-canary");
  CHECK(!secret.empty());
  CHECK(Secret().empty());
  CHECK((secret == Secret("sk-canary")));
  CHECK_FALSE((secret == Secret("sk-other")));
}
