#include "config/scalars.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/body.hpp"

namespace spillway::config {

namespace {

bool digit(char c) {
  return c >= '0' && c <= '9';
}

// Digits with single underscores between them; the digits alone, or "" if it is something else.
std::string without_underscores(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      out += text[i];
      continue;
    }
    const bool between = i > 0 && i + 1 < text.size() && digit(text[i - 1]) && digit(text[i + 1]);
    if (!between) return {};
  }
  return out;
}

struct Measured {
  double amount;
  std::string_view unit;
};

// Splits "1.5 MiB" into its number and its unit.
std::optional<Measured> split_unit(std::string_view text) {
  const auto end = std::find_if(text.begin(), text.end(),
                                [](char c) { return !digit(c) && c != '.' && c != '_'; });
  const auto length = static_cast<std::size_t>(end - text.begin());
  const auto amount = parse_number(text.substr(0, length));
  if (!amount) return std::nullopt;
  std::string_view unit = text.substr(length);
  while (unit.starts_with(' ')) unit.remove_prefix(1);
  return Measured{*amount, unit};
}

}  // namespace

std::optional<bool> parse_boolean(std::string_view text) {
  std::string folded(text);
  for (char& c : folded) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  for (const std::string_view yes : {"true", "yes", "on"}) {
    if (folded == yes) return true;
  }
  for (const std::string_view no : {"false", "no", "off"}) {
    if (folded == no) return false;
  }
  return std::nullopt;
}

std::optional<std::uint64_t> parse_count(std::string_view text) {
  const bool hexadecimal = text.starts_with("0x");
  const std::string digits = hexadecimal ? std::string(text.substr(2)) : without_underscores(text);
  std::uint64_t value = 0;
  const char* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, value, hexadecimal ? 16 : 10);
  if (digits.empty() || error != std::errc{} || stop != end) return std::nullopt;
  return value;
}

std::optional<double> parse_number(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  const std::string digits = without_underscores(text);
  if (digits.empty() ||
      (!digit(digits.front()) && digits.front() != '-' && digits.front() != '.')) {
    return std::nullopt;  // from_chars would take "inf" and "nan"
  }
  double value = 0;
  const char* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, value);
  if (error != std::errc{} || stop != end || !std::isfinite(value)) return std::nullopt;
  return value;
}

std::optional<std::uint64_t> parse_size(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, double>, 6> kUnits{
      {{"", 1},
       {"B", 1},
       {"KiB", 1024.0},
       {"MiB", 1024.0 * 1024},
       {"GiB", 1024.0 * 1024 * 1024},
       {"TiB", 1024.0 * 1024 * 1024 * 1024}}};
  const auto measured = split_unit(text);
  if (!measured) return std::nullopt;
  for (const auto& [unit, bytes] : kUnits) {
    if (measured->unit != unit) continue;
    const double value = measured->amount * bytes;
    if (value > 1e15 || value != std::floor(value)) return std::nullopt;
    return static_cast<std::uint64_t>(value);
  }
  return std::nullopt;
}

std::optional<Duration> parse_time(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, double>, 5> kUnits{
      {{"", 1}, {"ms", 0.001}, {"s", 1}, {"m", 60}, {"h", 3600}}};
  constexpr double kYear = 365.0 * 24 * 3600;
  const auto measured = split_unit(text);
  if (!measured) return std::nullopt;
  for (const auto& [unit, factor] : kUnits) {
    if (measured->unit != unit) continue;
    const double value = measured->amount * factor;
    if (value > kYear) return std::nullopt;
    return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(value));
  }
  return std::nullopt;
}

std::string format_time(Duration duration) {
  const auto whole = std::chrono::duration_cast<milliseconds>(duration).count();
  return whole % 1000 == 0 ? fmt::format("{} s", whole / 1000) : fmt::format("{} ms", whole);
}

std::optional<std::string> scalar_json(const Node& node, std::string_view text) {
  if (node.quoted || text != node.text) return quote(text);
  if (const auto flag = parse_boolean(text)) return *flag ? "true" : "false";
  const bool number_like = !text.empty() && (digit(text.front()) || text.front() == '-');
  if (number_like && nlohmann::json::accept(text))
    return std::string(text);  // its spelling is kept
  if (const auto count = parse_count(text)) return fmt::format("{}", *count);
  if (const auto number = parse_number(text)) return nlohmann::json(*number).dump();
  for (const std::string_view none : {".inf", "-.inf", "+.inf", ".Inf", "-.Inf", ".nan", ".NaN"}) {
    if (text == none) return std::nullopt;
  }
  return quote(text);
}

}  // namespace spillway::config
