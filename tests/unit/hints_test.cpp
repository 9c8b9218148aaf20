#include <catch2/catch_test_macros.hpp>
#include <initializer_list>
#include <random>
#include <string>
#include <vector>

#include "core/bounds.hpp"
#include "core/hint_text.hpp"
#include "core/outcome.hpp"

namespace spillway {
namespace {

// Fri, 02 Jan 2026 03:04:05 GMT
const WallTime kNow = std::chrono::sys_days(std::chrono::year(2026) / 1 / 2) +
                      std::chrono::hours(3) + minutes(4) + seconds(5);

std::optional<RetryHint> from_headers(std::initializer_list<HeaderView> headers) {
  const std::vector<HeaderView> list(headers);
  return find_retry_hint(list, "", "", kNow);
}
std::optional<RetryHint> from_body(std::string_view body) {
  return find_retry_hint({}, body, "", kNow);
}
std::optional<RetryHint> from_message(std::string_view message) {
  return find_retry_hint({}, "", message, kNow);
}
RetryHint hint(Duration delay, HintSource source) {
  return RetryHint{delay, source};
}

using std::chrono::microseconds;

}  // namespace

TEST_CASE("retry-after-ms is read in milliseconds and wins") {
  CHECK(from_headers({{"retry-after", "7"}, {"Retry-After-Ms", "350"}}) ==
        hint(milliseconds(350), HintSource::retry_after_ms));
  CHECK(from_headers({{"x-ms-retry-after-ms", "12.5"}}) ==
        hint(microseconds(12500), HintSource::retry_after_ms));
  CHECK(from_headers({{"retry-after-ms", "soon"}, {"retry-after", "7"}}) ==
        hint(seconds(7), HintSource::retry_after_seconds));
}

TEST_CASE("retry-after is a number of seconds or an HTTP date in one of three forms") {
  CHECK(from_headers({{"retry-after", "7"}}) == hint(seconds(7), HintSource::retry_after_seconds));
  CHECK(from_headers({{"retry-after", " 0.5 "}}) ==
        hint(milliseconds(500), HintSource::retry_after_seconds));
  for (const std::string_view date :
       {"Fri, 02 Jan 2026 03:04:35 GMT", "Friday, 02-Jan-26 03:04:35 GMT",
        "Fri Jan  2 03:04:35 2026"}) {
    CAPTURE(date);
    CHECK(from_headers({{"retry-after", date}}) == hint(seconds(30), HintSource::retry_after_date));
  }
}

TEST_CASE("a date is measured against the upstream's own clock where it tells it") {
  CHECK(from_headers({{"retry-after", "Fri, 02 Jan 2026 05:00:30 GMT"},
                      {"date", "Fri, 02 Jan 2026 05:00:00 GMT"}}) ==
        hint(seconds(30), HintSource::retry_after_date));
}

TEST_CASE("dates that are past, garbled or of another zone are no hint") {
  for (const std::string_view date :
       {"Fri, 02 Jan 2026 03:04:05 GMT", "Thu, 01 Jan 2026 03:04:05 GMT", "Fri, 02 Jan 2026",
        "Fri, 02 Jan 2026 03:09:35 CET", "Fri, 31 Feb 2026 03:09:35 GMT",
        "Fri, 02 Jan 2026 24:09:35 GMT", "Fri, 02 Jan 2026 03:60:35 GMT", "tomorrow", "",
        "Fri, 02 Jan 2026 03:09:35 GMT+1", "Friday, 02-Jan-2026 03:09:35 GMT"}) {
    CAPTURE(date);
    CHECK_FALSE(from_headers({{"retry-after", date}}));
  }
}

TEST_CASE("a date that the clock cannot count is as far away as it can") {
  for (const std::string_view date :
       {"Fri, 31 Dec 9999 23:59:59 GMT", "Sat, 01 Jan 2300 00:00:00 GMT"}) {
    CAPTURE(date);
    CHECK(from_headers({{"retry-after", date}}) ==
          hint(bounds::kHintCap, HintSource::retry_after_date));
  }
  CHECK(from_headers({{"x-ratelimit-reset", "9999-12-31T23:59:59.999999999-99:99"}}) ==
        hint(bounds::kHintCap, HintSource::ratelimit_reset));
  for (const std::string_view date :
       {"Sat, 01 Jan 0000 00:00:00 GMT", "Mon, 01 Jan 1600 00:00:00 GMT"}) {
    CAPTURE(date);
    CHECK_FALSE(from_headers({{"retry-after", date}}));
  }
  CHECK_FALSE(from_headers({{"x-ratelimit-reset", "0000-01-01T00:00:00+99:99"}}));
}

TEST_CASE("absurd numbers are capped, impossible ones ignored") {
  for (const std::string_view value :
       {"301", "999999", "1e309", "99999999999999999999999999", "0.1e999", ".1E+400"}) {
    CAPTURE(value);
    CHECK(from_headers({{"retry-after", value}}) ==
          hint(bounds::kHintCap, HintSource::retry_after_seconds));
  }
  for (const std::string_view value :
       {"0", "0.0", "-1", "-0", "nan", "NaN", "inf", "Infinity", "0x10", "7 s", "7,5", "", "1e-400",
        "0.0e999", "9E-999", "+7"}) {
    CAPTURE(value);
    CHECK_FALSE(from_headers({{"retry-after", value}}));
  }
}

TEST_CASE("a hint of zero lets the next source speak") {
  const HeaderView headers[] = {{"retry-after", "0"}};
  CHECK(find_retry_hint(headers, R"({"retry_after":4})", "", kNow) ==
        hint(seconds(4), HintSource::body));
}

TEST_CASE("the reset of the exhausted kind counts, the longest of several") {
  CHECK(from_headers({{"x-ratelimit-remaining-requests", "0"},
                      {"x-ratelimit-reset-requests", "1m30s"},
                      {"x-ratelimit-remaining-tokens", "500"},
                      {"x-ratelimit-reset-tokens", "4m0s"}}) ==
        hint(seconds(90), HintSource::ratelimit_reset));
  CHECK(from_headers({{"x-ratelimit-remaining-requests", "0"},
                      {"x-ratelimit-reset-requests", "12ms"},
                      {"x-ratelimit-remaining-tokens", "-3"},
                      {"x-ratelimit-reset-tokens", "7.66s"}}) ==
        hint(milliseconds(7660), HintSource::ratelimit_reset));
}

TEST_CASE("without an exhausted kind only resets that do not tell what remains count") {
  CHECK(from_headers({{"X-RateLimit-Reset-Requests", "6s"}}) ==
        hint(seconds(6), HintSource::ratelimit_reset));
  CHECK_FALSE(from_headers(
      {{"x-ratelimit-remaining-requests", "12"}, {"x-ratelimit-reset-requests", "6s"}}));
  CHECK(from_headers({{"x-ratelimit-reset-requests", "9s"}, {"x-ratelimit-reset-tokens", "2s"}}) ==
        hint(seconds(2), HintSource::ratelimit_reset));
}

TEST_CASE("resets are durations, seconds, instants since 1970 or RFC 3339 times") {
  struct Row {
    std::string_view value;
    Duration delay;
  };
  const Row rows[] = {
      {"6m0s", bounds::kHintCap},
      {"1h", bounds::kHintCap},
      {"20s", seconds(20)},
      {"15", seconds(15)},
      {"1767323075", seconds(30)},
      {"1767323075000", seconds(30)},
      {"2026-01-02T03:04:35Z", seconds(30)},
      {"2026-01-02T03:04:35.500Z", milliseconds(30500)},
      {"2026-01-02T04:04:35+01:00", seconds(30)},
      {"2026-01-01T22:04:35-05:00", seconds(30)},
  };
  for (const Row& row : rows) {
    CAPTURE(row.value);
    CHECK(from_headers({{"x-ratelimit-remaining", "0"}, {"x-ratelimit-reset", row.value}}) ==
          hint(row.delay, HintSource::ratelimit_reset));
  }
  for (const std::string_view value : {"", "soon", "1767323000", "2026-01-02T03:04:00Z",
                                       "2026-13-02T03:04:35Z", "2026-01-02T03:04:35", "-5s"}) {
    CAPTURE(value);
    CHECK_FALSE(from_headers({{"x-ratelimit-reset-requests", value}}));
  }
}

TEST_CASE("Anthropic's resets are read by kind") {
  CHECK(from_headers({{"anthropic-ratelimit-requests-remaining", "10"},
                      {"anthropic-ratelimit-requests-reset", "2026-01-02T03:04:10Z"},
                      {"anthropic-ratelimit-input-tokens-remaining", "0"},
                      {"anthropic-ratelimit-input-tokens-reset", "2026-01-02T03:04:17Z"}}) ==
        hint(seconds(12), HintSource::ratelimit_reset));
}

TEST_CASE("a JSON body names a delay in Gemini's ways and in retry_after") {
  CHECK(from_body(R"({"error":{"details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo",)"
                  R"("retryDelay":"45.8s"}]}})") == hint(milliseconds(45800), HintSource::body));
  CHECK(from_body(R"([{"error":{"details":[{"metadata":{"quotaResetDelay":"373.8ms"}}]}}])") ==
        hint(microseconds(373800), HintSource::body));
  CHECK(from_body(R"({"error":{"details":[{"metadata":{"quotaResetDelay":"2s"}},)"
                  R"({"retryDelay":"9s"}]}})") == hint(seconds(9), HintSource::body));
  CHECK(from_body(R"({"error":{"metadata":{"retry_after":3}}})") ==
        hint(seconds(3), HintSource::body));
  CHECK(from_body(R"({"retry_after":"2.5"})") == hint(milliseconds(2500), HintSource::body));
  CHECK(from_body(R"({"retryDelay":{"seconds":8}})") == hint(seconds(8), HintSource::body));
  CHECK(from_body(R"({"retry_after":1e300})") == hint(bounds::kHintCap, HintSource::body));
  for (const std::string_view body :
       {R"({"retry_after":-3})", R"({"retry_after":0})", R"({"retry_after":null})",
        R"({"retry_after":true})", R"({"retry_after":[5]})", R"({"retry_after":"soon"})", "{",
        ""}) {
    CAPTURE(body);
    CHECK_FALSE(from_body(body));
  }
}

TEST_CASE("a message names a delay behind one of few phrases") {
  struct Row {
    std::string_view message;
    Duration delay;
  };
  const Row rows[] = {
      {"Rate limit exceeded. Retry in 6s.", seconds(6)},
      {"Please try again in 1m2.5s. Visit our site.", milliseconds(62500)},
      {"Please retry after 20 seconds.", seconds(20)},
      {"please TRY AGAIN in 250ms", milliseconds(250)},
      {"Please retry in 45.837906927s.", std::chrono::nanoseconds(45837906927)},
      {"limit reset after 3 sec", seconds(3)},
      {"try again in 2 minutes", seconds(120)},
      {"retry in 2 min", seconds(120)},
      {"try again in 1h0m0s", bounds::kHintCap},
      {"You can retry: 5s", seconds(5)},
      {"Retry your request. Then try again in 4s", seconds(4)},
      {"retry in .5s", milliseconds(500)},
      {"retry in 0s; try again in 9s", seconds(9)},
  };
  for (const Row& row : rows) {
    CAPTURE(row.message);
    CHECK(from_message(row.message) == hint(row.delay, HintSource::message));
  }
}

TEST_CASE("numbers without phrase, nearness or unit are no hint") {
  for (const std::string_view message :
       {"", "Limit 30000, used 29000. 6s", "retry", "retry in", "retry in 6", "retry in 6 apples",
        "retry in 5 shots", "try again after about 6s", "retry in -6s", "retrying 6s",
        "retry_count 5s", "try again in 0s", "in 6s try again"}) {
    CAPTURE(message);
    CHECK_FALSE(from_message(message));
  }
}

TEST_CASE("sources are asked in their order") {
  const std::string_view body = R"({"retry_after":5})";
  const std::string_view message = "retry in 6s";
  std::vector<HeaderView> headers = {
      {"retry-after-ms", "1000"}, {"retry-after", "2"}, {"x-ratelimit-reset-requests", "4s"}};
  CHECK(find_retry_hint(headers, body, message, kNow)->source == HintSource::retry_after_ms);
  headers.erase(headers.begin());
  CHECK(find_retry_hint(headers, body, message, kNow)->source == HintSource::retry_after_seconds);
  headers.erase(headers.begin());
  CHECK(find_retry_hint(headers, body, message, kNow)->source == HintSource::ratelimit_reset);
  headers.clear();
  CHECK(find_retry_hint(headers, body, message, kNow)->source == HintSource::body);
  CHECK(find_retry_hint(headers, "", message, kNow)->source == HintSource::message);
}

TEST_CASE("whatever is sent, a hint is positive and at most the cap") {
  const auto seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const auto text = [&random](std::string_view alphabet) {
    std::string result;
    for (std::size_t i = random() % 24; i > 0; --i) result += alphabet[random() % alphabet.size()];
    return result;
  };
  constexpr std::string_view kTimes = "0123456789.eE+-smhnuTZ: GMTFriJan,\xff";
  unsigned found = 0;
  for (int round = 0; round < 20000; ++round) {
    const std::string ms = text(kTimes), after = text(kTimes), reset = text(kTimes);
    const std::string date = text(kTimes), left = text("0123-");
    const HeaderView headers[] = {{"retry-after-ms", ms},
                                  {"retry-after", after},
                                  {"date", date},
                                  {"x-ratelimit-remaining-tokens", left},
                                  {"x-ratelimit-reset-tokens", reset},
                                  {"anthropic-ratelimit-x-reset", reset}};
    const std::string body =
        R"({"retry_after":")" + text(kTimes) + R"(","retryDelay":)" + text(kTimes) + "}";
    const std::string message = "retry in " + text(kTimes);
    const auto result = find_retry_hint(headers, body, message, kNow);
    if (!result) continue;
    ++found;
    CHECK(result->delay > Duration::zero());
    CHECK(result->delay <= bounds::kHintCap);
  }
  CHECK(found > 0);
}

TEST_CASE("every hint source has its own name") {
  CHECK(name(HintSource::retry_after_ms) == "retry_after_ms");
  CHECK(name(HintSource::retry_after_seconds) == "retry_after_seconds");
  CHECK(name(HintSource::retry_after_date) == "retry_after_date");
  CHECK(name(HintSource::ratelimit_reset) == "ratelimit_reset");
  CHECK(name(HintSource::body) == "body");
  CHECK(name(HintSource::message) == "message");
}

}  // namespace spillway
