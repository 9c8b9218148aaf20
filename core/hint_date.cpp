// Dates in headers, read without locale or time zone data: both formats used here are in UTC or
// name their offset.
#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "core/hint_text.hpp"

namespace spillway {
namespace {

// Takes fields off the front of a text; the first that does not fit makes everything after it fail.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  int digits(std::size_t count) {
    if (text_.size() < count) return fail();
    int value = 0;
    for (std::size_t i = 0; i < count; ++i) {
      if (text_[i] < '0' || text_[i] > '9') return fail();
      value = value * 10 + (text_[i] - '0');
    }
    text_.remove_prefix(count);
    return value;
  }

  void literal(std::string_view expected) {
    if (!text_.starts_with(expected)) {
      fail();
      return;
    }
    text_.remove_prefix(expected.size());
  }

  bool accept(std::string_view expected) {
    if (!ok_ || !text_.starts_with(expected)) return false;
    text_.remove_prefix(expected.size());
    return true;
  }

  bool at_digit() const { return !text_.empty() && text_[0] >= '0' && text_[0] <= '9'; }
  int fail() {
    ok_ = false;
    text_ = {};
    return 0;
  }
  bool done() const { return ok_ && text_.empty(); }
  bool ok() const { return ok_; }

 private:
  std::string_view text_;
  bool ok_ = true;
};

constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
constexpr std::array<std::string_view, 7> kDays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
constexpr std::array<std::string_view, 7> kLongDays = {"day",   "day", "sday", "nesday",
                                                       "rsday", "day", "urday"};

int month(Reader& reader) {
  for (std::size_t i = 0; i < kMonths.size(); ++i) {
    if (reader.accept(kMonths[i])) return static_cast<int>(i) + 1;
  }
  return reader.fail();
}

struct Fields {
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
};

void clock_time(Reader& reader, Fields& fields) {
  fields.hour = reader.digits(2);
  reader.literal(":");
  fields.minute = reader.digits(2);
  reader.literal(":");
  fields.second = reader.digits(2);
}

// A time that the clock cannot count (it ends in 2262) is as far away as it can, but for what
// offsets and fractions may add.
WallTime within_clock(std::chrono::sys_seconds time) {
  constexpr std::chrono::days kRoom(10);
  const auto earliest = std::chrono::ceil<std::chrono::seconds>(WallTime::min()) + kRoom;
  const auto latest = std::chrono::floor<std::chrono::seconds>(WallTime::max()) - kRoom;
  return std::clamp<std::chrono::sys_seconds>(time, earliest, latest);
}

std::optional<WallTime> to_time(const Fields& f) {
  const std::chrono::year_month_day date{std::chrono::year(f.year),
                                         std::chrono::month(static_cast<unsigned>(f.month)),
                                         std::chrono::day(static_cast<unsigned>(f.day))};
  // 60 is a leap second; system_clock has none, so it reads as the next minute's first.
  if (!date.ok() || f.hour > 23 || f.minute > 59 || f.second > 60) return std::nullopt;
  return within_clock(std::chrono::sys_days(date) + std::chrono::hours(f.hour) +
                      std::chrono::minutes(f.minute) + std::chrono::seconds(f.second));
}

// "06 Nov 1994 08:49:37 GMT"
void imf_fixdate(Reader& reader, Fields& fields) {
  fields.day = reader.digits(2);
  reader.literal(" ");
  fields.month = month(reader);
  reader.literal(" ");
  fields.year = reader.digits(4);
  reader.literal(" ");
  clock_time(reader, fields);
  reader.literal(" GMT");
}

// "06-Nov-94 08:49:37 GMT"
void rfc850(Reader& reader, Fields& fields) {
  fields.day = reader.digits(2);
  reader.literal("-");
  fields.month = month(reader);
  reader.literal("-");
  const int year = reader.digits(2);
  fields.year = year + (year < 70 ? 2000 : 1900);
  reader.literal(" ");
  clock_time(reader, fields);
  reader.literal(" GMT");
}

// "Nov  6 08:49:37 1994"
void asctime(Reader& reader, Fields& fields) {
  fields.month = month(reader);
  reader.literal(" ");
  fields.day = reader.accept(" ") ? reader.digits(1) : reader.digits(2);
  reader.literal(" ");
  clock_time(reader, fields);
  reader.literal(" ");
  fields.year = reader.digits(4);
}

std::string_view trim_spaces(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

}  // namespace

std::optional<WallTime> parse_http_date(std::string_view text) {
  Reader reader(trim_spaces(text));
  std::size_t day = 0;
  while (day < kDays.size() && !reader.accept(kDays[day])) ++day;
  if (day == kDays.size()) return std::nullopt;

  Fields fields;
  if (reader.accept(", ")) {
    imf_fixdate(reader, fields);
  } else if (reader.accept(" ")) {
    asctime(reader, fields);
  } else {
    reader.literal(kLongDays[day]);
    reader.literal(", ");
    rfc850(reader, fields);
  }
  return reader.done() ? to_time(fields) : std::nullopt;
}

std::optional<WallTime> parse_rfc3339(std::string_view text) {
  Reader reader(trim_spaces(text));
  Fields fields;
  fields.year = reader.digits(4);
  reader.literal("-");
  fields.month = reader.digits(2);
  reader.literal("-");
  fields.day = reader.digits(2);
  if (!reader.accept("T") && !reader.accept("t")) reader.literal(" ");
  clock_time(reader, fields);

  Duration fraction{};
  if (reader.accept(".")) {
    if (!reader.at_digit()) reader.fail();
    Duration digit_worth = milliseconds(100);
    while (reader.at_digit()) {
      fraction += digit_worth * reader.digits(1);
      digit_worth /= 10;  // digits beyond the clock's resolution count nothing
    }
  }

  minutes offset{};
  if (!reader.accept("Z") && !reader.accept("z")) {
    const int sign = reader.accept("-") ? -1 : 1;
    if (sign > 0) reader.literal("+");
    const int hours_off = reader.digits(2);
    reader.literal(":");
    offset = sign * (std::chrono::hours(hours_off) + minutes(reader.digits(2)));
  }
  if (!reader.done()) return std::nullopt;
  const auto time = to_time(fields);
  if (!time) return std::nullopt;
  return *time + std::chrono::duration_cast<WallTime::duration>(fraction) - offset;
}

}  // namespace spillway
