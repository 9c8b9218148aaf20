// How long an upstream asks to be left alone: within bounds whatever it says, numbers and dates as
// the C library reads them, and durations and dates read back as they were written.
//
// The input is header lines, an empty line, a JSON body, a byte 0x1E, and a message.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <cmath>
#include <cstdlib>
#include <ctime>
#include <vector>

#include "core/body.hpp"
#include "core/bounds.hpp"
#include "core/hint_text.hpp"
#include "core/outcome.hpp"
#include "core/rate_limit_headers.hpp"
#include "fuzz.hpp"

namespace spillway {
namespace {

using fuzz::expect;

// Fri, 02 Jan 2026 03:04:05 GMT
const WallTime kNow = WallTime(seconds(1767323045));

bool in_bounds(Duration delay) {
  return delay >= Duration::zero() && delay <= bounds::kHintCap;
}

bool about_equal(Duration delay, double wanted_seconds) {
  const double cap = std::chrono::duration<double>(bounds::kHintCap).count();
  const double wanted = std::min(std::max(wanted_seconds, 0.0), cap);
  return std::abs(std::chrono::duration<double>(delay).count() - wanted) < 1e-6;
}

void check_number(const std::string& text) {
  const auto delay = parse_number(text, seconds(1));
  if (!delay) return;
  expect(in_bounds(*delay), "numbers are bounded");
  expect(about_equal(*delay, std::strtod(text.c_str(), nullptr)), "numbers mean what strtod says");
}

void check_date(const std::string& text) {
  const auto date = parse_http_date(text);
  if (!date) return;
  std::tm fields{};
  const char* end = nullptr;
  for (const char* form :
       {" %a, %d %b %Y %H:%M:%S GMT ", " %A, %d-%b-%y %H:%M:%S GMT ", " %a %b %e %H:%M:%S %Y "}) {
    fields = {};
    end = strptime(text.c_str(), form, &fields);
    if (end != nullptr && *end == '\0') break;
  }
  expect(end != nullptr && *end == '\0', "what is a date to us is one to strptime");
  if (fields.tm_year == 69) fields.tm_year = 169;  // POSIX has 1969 where RFC 9110 has 2069
  const auto at = std::chrono::system_clock::to_time_t(*date);
  if (fields.tm_year < 1700 - 1900 || fields.tm_year > 2200 - 1900) return;  // the clock has an end
  expect(timegm(&fields) == at, "and the same one");
  const std::string again = fmt::format("{:%a, %d %b %Y %H:%M:%S} GMT", fmt::gmtime(at));
  expect(parse_http_date(again) == date, "dates are read back as written");
}

void check_instant(std::string_view text) {
  const auto instant = parse_rfc3339(text);
  if (!instant) return;
  const auto whole = std::chrono::floor<std::chrono::seconds>(*instant);
  const auto fraction = std::chrono::duration_cast<std::chrono::nanoseconds>(*instant - whole);
  const auto date = std::chrono::floor<std::chrono::days>(whole);
  const std::chrono::year_month_day day{date};
  if (int(day.year()) < 1700 || int(day.year()) > 2200) return;  // the clock has an end
  const std::chrono::hh_mm_ss time{whole - date};
  const std::string again =
      fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:09}Z", int(day.year()),
                  unsigned(day.month()), unsigned(day.day()), time.hours().count(),
                  time.minutes().count(), time.seconds().count(), fraction.count());
  expect(parse_rfc3339(again) == instant, "instants are read back as written");
}

void check_value(std::string_view value) {
  const std::string text(value.substr(0, value.find('\0')));
  check_number(text);
  check_date(text);
  check_instant(text);
  for (const auto& delay : {parse_duration(text), parse_reset(text, kNow), find_retry_phrase(text)})
    if (delay) expect(in_bounds(*delay), "delays are bounded");
}

// As Go writes a duration.
void check_durations(std::mt19937_64& random) {
  // Not none at all, which says nothing in a message.
  const auto wanted =
      milliseconds(1 + random() % (std::uint64_t(bounds::kHintCap / milliseconds(1)) - 1));
  const std::string text = fmt::format("{}m{}.{:03}s", wanted / minutes(1),
                                       wanted % minutes(1) / seconds(1), wanted.count() % 1000);
  const auto delay = parse_duration(text);
  expect(delay && about_equal(*delay, std::chrono::duration<double>(wanted).count()),
         "durations are read back as written");
  expect(find_retry_phrase("x. Please try again in " + text + ". Bye") == delay,
         "in a message too");
}

std::vector<HeaderView> read_headers(std::string_view lines) {
  std::vector<HeaderView> headers;
  while (!lines.empty()) {
    std::string_view line = fuzz::take_until(lines, "\n");
    const std::string_view name = fuzz::take_until(line, ": ");
    headers.push_back({name, line});
  }
  return headers;
}

}  // namespace
}  // namespace spillway

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace spillway;
  const std::string_view text = fuzz::as_text(data, size);
  auto random = fuzz::random_of(text);
  std::string_view rest = text;
  const std::vector<HeaderView> headers = read_headers(fuzz::take_until(rest, "\n\n"));
  const std::string_view body = fuzz::take_until(rest, "\x1E");

  const auto hint = find_retry_hint(headers, body, rest, kNow);
  if (hint) fuzz::expect(hint->delay > Duration::zero() && in_bounds(hint->delay), "in bounds");
  const auto from_headers = find_retry_hint(headers, {}, {}, kNow);
  if (from_headers) fuzz::expect(hint == from_headers, "headers come before body and message");
  const Quotas quotas = read_quotas(headers, kNow);
  for (const auto& quota : {quotas.requests, quotas.tokens})
    if (quota)
      fuzz::expect(quota->limit > 0 && in_bounds(quota->reset.value_or(seconds(0))), "sane");

  const Failure failure = classify(HttpAnswer{429, headers, body}, {"p", "d"}, kNow);
  fuzz::expect(is_json(error_body(failure)), "an error body is JSON");
  fuzz::expect(failure.message.size() <= bounds::kErrorMessageBytes + 512, "of bounded size");
  fuzz::expect(!failure.hint || in_bounds(failure.hint->delay), "with a bounded hint");

  for (const HeaderView& header : headers) check_value(header.value);
  check_value(rest);
  check_durations(random);
  return 0;
}
