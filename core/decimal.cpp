#include "core/decimal.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>

namespace spillway {

namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool starts_number(std::string_view text) {
  if (text.starts_with('-')) text.remove_prefix(1);
  if (text.starts_with('.')) text.remove_prefix(1);
  return !text.empty() && is_digit(text[0]);
}

// Of "e-400" and the like; beyond what fits, the most that does.
std::int64_t read_exponent(std::string_view text) {
  constexpr std::int64_t kMost = 1'000'000'000;  // longer texts than that are not read
  if (text.empty()) return 0;
  text.remove_prefix(1);
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  std::int64_t exponent = 0;
  const auto status = std::from_chars(text.data(), text.data() + text.size(), exponent).ec;
  if (status != std::errc() || exponent > kMost) exponent = kMost;
  return negative ? -exponent : exponent;
}

// True if a number that is out of a double's range is too large for it, and not too small.
bool is_huge(std::string_view number) {
  if (number.starts_with('-')) number.remove_prefix(1);
  const std::size_t mantissa_end = std::min(number.find_first_of("eE"), number.size());
  const std::string_view mantissa = number.substr(0, mantissa_end);
  const std::size_t point = std::min(mantissa.find('.'), mantissa.size());
  const std::size_t first = mantissa.find_first_not_of("0.");
  if (first == std::string_view::npos) return false;
  // How many places the first digit that counts stands before the point.
  const auto places = static_cast<std::int64_t>(point) - static_cast<std::int64_t>(first);
  return places + read_exponent(number.substr(mantissa_end)) > 0;
}

}  // namespace

std::optional<double> take_decimal(std::string_view& text) {
  if (!starts_number(text)) return std::nullopt;
  double value = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (status == std::errc::invalid_argument) return std::nullopt;
  const std::string_view number = text.substr(0, static_cast<std::size_t>(end - text.data()));
  if (status == std::errc::result_out_of_range) {
    value = is_huge(number) ? HUGE_VAL : 0.0;
    if (number.starts_with('-')) value = -value;
  }
  text.remove_prefix(number.size());
  return value;
}

}  // namespace spillway
