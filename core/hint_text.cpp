#include "core/hint_text.hpp"

#include <algorithm>
#include <string>

#include "core/bounds.hpp"
#include "core/decimal.hpp"
#include "core/failure_tables.hpp"

namespace spillway {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

// Takes an unsigned decimal number off the front; nullopt: there is none.
std::optional<double> take_number(std::string_view& text) {
  return text.starts_with('-') ? std::nullopt : take_decimal(text);
}

Duration bounded(double seconds_count) {
  const double cap = std::chrono::duration<double>(bounds::kHintCap).count();
  if (!(seconds_count > 0)) return Duration::zero();
  if (seconds_count >= cap) return bounds::kHintCap;
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds_count));
}

struct Unit {
  std::string_view name;
  double seconds;
};
constexpr Unit kUnits[] = {
    {"ns", 1e-9}, {"us", 1e-6},   {"ms", 1e-3},    {"millisecond", 1e-3}, {"milliseconds", 1e-3},
    {"s", 1},     {"sec", 1},     {"secs", 1},     {"second", 1},         {"seconds", 1},
    {"m", 60},    {"min", 60},    {"mins", 60},    {"minute", 60},        {"minutes", 60},
    {"h", 3600},  {"hr", 3600},   {"hrs", 3600},   {"hour", 3600},        {"hours", 3600},
    {"d", 86400}, {"day", 86400}, {"days", 86400},
};

// Takes a unit's whole word off the front, one space before it allowed; nullopt: the word is no
// unit.
std::optional<double> take_unit(std::string_view& text) {
  std::string_view rest = text;
  if (rest.starts_with(' ')) rest.remove_prefix(1);
  std::size_t length = 0;
  while (length < rest.size() && is_letter(rest[length])) ++length;
  const std::string_view word = rest.substr(0, length);
  for (const Unit& unit : kUnits) {
    if (std::ranges::equal(word, unit.name, {}, lower)) {
      text = rest.substr(length);
      return unit.seconds;
    }
  }
  return std::nullopt;
}

// Takes "1m2.5s" off the front: at least one number with its unit, more only if they follow
// directly.
std::optional<Duration> take_duration(std::string_view& text) {
  std::optional<double> total;
  while (true) {
    std::string_view rest = text;
    const auto number = take_number(rest);
    const auto unit = number ? take_unit(rest) : std::nullopt;
    if (!unit) break;
    total = total.value_or(0) + *number * *unit;
    text = rest;
  }
  if (!total) return std::nullopt;
  return bounded(*total);
}

}  // namespace

std::optional<Duration> parse_number(std::string_view text, Duration unit) {
  text = trim(text);
  const auto number = take_number(text);
  if (!number || !text.empty()) return std::nullopt;
  return bounded(*number * std::chrono::duration<double>(unit).count());
}

std::optional<Duration> parse_duration(std::string_view text) {
  text = trim(text);
  const auto duration = take_duration(text);
  return text.empty() ? duration : std::nullopt;
}

std::optional<Duration> parse_reset(std::string_view text, WallTime now) {
  if (const auto duration = parse_duration(text)) return duration;
  if (const auto time = parse_rfc3339(text)) return bounded_difference(*time, now);
  std::string_view rest = trim(text);
  const auto number = take_number(rest);
  if (!number || !rest.empty()) return std::nullopt;
  // Nobody waits thirty years: larger numbers count from 1970, in seconds or in milliseconds.
  constexpr double kEpochSeconds = 1e9;
  constexpr double kEpochMilliseconds = 1e12;
  if (*number < kEpochSeconds) return bounded(*number);
  const double at = *number >= kEpochMilliseconds ? *number / 1000 : *number;
  return bounded(at - std::chrono::duration<double>(now.time_since_epoch()).count());
}

Duration bounded_difference(WallTime later, WallTime earlier) {
  return bounded(std::chrono::duration<double>(later.time_since_epoch()).count() -
                 std::chrono::duration<double>(earlier.time_since_epoch()).count());
}

namespace {

// The number and unit at most kRetryPhraseGap characters behind a phrase.
std::optional<Duration> duration_after(std::string_view text) {
  std::size_t gap = 0;
  while (gap < text.size() && gap <= kRetryPhraseGap && !is_digit(text[gap])) ++gap;
  if (gap >= text.size() || gap > kRetryPhraseGap) return std::nullopt;
  // "retrying", "-5s": another word, a negative number
  if (is_letter(text[0]) || text[0] == '_' || (gap > 0 && text[gap - 1] == '-'))
    return std::nullopt;
  text.remove_prefix(gap > 0 && text[gap - 1] == '.' ? gap - 1 : gap);
  return take_duration(text);
}

}  // namespace

std::optional<Duration> find_retry_phrase(std::string_view message) {
  message = message.substr(0, bounds::kErrorMessageBytes);
  std::string folded(message);
  std::ranges::transform(folded, folded.begin(), lower);
  for (std::size_t at = 0; at < folded.size(); ++at) {
    for (const std::string_view phrase : retry_phrases()) {
      if (folded.compare(at, phrase.size(), phrase) != 0) continue;
      const auto delay = duration_after(std::string_view(folded).substr(at + phrase.size()));
      if (delay && *delay > Duration::zero()) return delay;
    }
  }
  return std::nullopt;
}

}  // namespace spillway
