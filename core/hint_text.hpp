// Spellings of a time to wait, as text: numbers, durations, dates. Pure parsers; nothing here
// throws or allocates more than its input. Results may be zero; they are never negative and never
// above bounds::kHintCap.
#pragma once

#include <optional>
#include <string_view>

#include "core/time.hpp"

namespace spillway {

// A whole or decimal number of `unit`s, white space around it allowed: "6", "0.35", "1e3". Too
// large a number is the cap. Negative numbers, "nan", "inf" and trailing text: nullopt.
std::optional<Duration> parse_number(std::string_view text, Duration unit);

// A duration as Go writes it, "6m0s", "12ms", "1h", or with a long unit, "20 seconds".
std::optional<Duration> parse_duration(std::string_view text);

// The three forms of RFC 9110 section 5.6.7: IMF-fixdate, RFC 850 and asctime; always GMT.
std::optional<WallTime> parse_http_date(std::string_view text);

// RFC 3339: "2026-01-02T03:04:05.678Z", "2026-01-02T03:04:05+01:00".
std::optional<WallTime> parse_rfc3339(std::string_view text);

// A rate limit's reset: a duration, a number of seconds, seconds or milliseconds since 1970, or an
// RFC 3339 time.
std::optional<Duration> parse_reset(std::string_view text, WallTime now);

// The time named after a retry phrase (core/failure_tables.hpp) in a message: "Retry in 6s.", "try
// again in 1m2.5s".
std::optional<Duration> find_retry_phrase(std::string_view message);

// later - earlier, within [0, kHintCap].
Duration bounded_difference(WallTime later, WallTime earlier);

}  // namespace spillway
