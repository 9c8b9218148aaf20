// How long an upstream asks to be left alone: the first source that names a usable time, in the
// order of DESIGN.md section 5. A time of zero is no hint: the search goes on, and in the end the
// default applies.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "core/ascii.hpp"
#include "core/bounds.hpp"
#include "core/error_report.hpp"
#include "core/hint_text.hpp"
#include "core/outcome.hpp"

namespace spillway {
namespace {

using Json = nlohmann::json;

std::optional<RetryHint> as_hint(std::optional<Duration> delay, HintSource source) {
  if (!delay || *delay <= Duration::zero()) return std::nullopt;
  return RetryHint{std::min(*delay, bounds::kHintCap), source};
}

std::optional<RetryHint> from_retry_after_ms(Headers headers) {
  for (const std::string_view field : {"retry-after-ms", "x-ms-retry-after-ms"}) {
    if (const auto value = find_header(headers, field)) {
      const auto delay = parse_number(*value, milliseconds(1));
      if (const auto hint = as_hint(delay, HintSource::retry_after_ms)) return hint;
    }
  }
  return std::nullopt;
}

// A date is measured against the upstream's own clock where it tells it, so that neither's error
// matters.
std::optional<RetryHint> from_retry_after(Headers headers, WallTime now) {
  const auto value = find_header(headers, "retry-after");
  if (!value) return std::nullopt;
  if (const auto delay = parse_number(*value, seconds(1))) {
    return as_hint(delay, HintSource::retry_after_seconds);
  }
  const auto date = parse_http_date(*value);
  if (!date) return std::nullopt;
  const auto own_date = parse_http_date(find_header(headers, "date").value_or(""));
  return as_hint(bounded_difference(*date, own_date.value_or(now)), HintSource::retry_after_date);
}

// Header families that tell, by kind of limit, what remains and when it is full again. Between
// prefix and suffix stands the kind ("requests", "tokens"), which may be missing.
struct ResetFamily {
  std::string_view prefix, reset, remaining, suffix_reset, suffix_remaining;
};
constexpr ResetFamily kResetFamilies[] = {
    {"x-ratelimit-", "reset", "remaining", "", ""},
    {"anthropic-ratelimit-", "", "", "-reset", "-remaining"},
};

std::string lower(std::string_view text) {
  std::string folded(text);
  for (char& c : folded) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return folded;
}

// The kind of limit a header's name tells the reset of: "-requests" of
// "x-ratelimit-reset-requests".
std::optional<std::string> reset_kind(const std::string& name, const ResetFamily& family) {
  const std::string begin = std::string(family.prefix) + std::string(family.reset);
  if (!name.starts_with(begin) || !name.ends_with(family.suffix_reset)) return std::nullopt;
  if (name.size() < begin.size() + family.suffix_reset.size()) return std::nullopt;
  return name.substr(begin.size(), name.size() - begin.size() - family.suffix_reset.size());
}

enum class Remaining { none, some, untold };

Remaining remaining_of(Headers headers, const std::string& kind, const ResetFamily& family) {
  std::string field(family.prefix);
  field.append(family.remaining).append(kind).append(family.suffix_remaining);
  const auto value = find_header(headers, field);
  if (!value) return Remaining::untold;
  const auto amount = parse_number(*value, seconds(1));
  if (!amount) return value->starts_with('-') ? Remaining::none : Remaining::untold;
  return *amount <= Duration::zero() ? Remaining::none : Remaining::some;
}

// The latest reset among the exhausted kinds; without any, the earliest of those that do not tell
// what remains.
std::optional<RetryHint> from_ratelimit_reset(Headers headers, WallTime now) {
  std::optional<Duration> exhausted, untold;
  for (const HeaderView& header : headers) {
    const std::string name = lower(header.name);
    for (const ResetFamily& family : kResetFamilies) {
      const auto kind = reset_kind(name, family);
      const auto delay = kind ? parse_reset(header.value, now) : std::nullopt;
      if (!delay || *delay <= Duration::zero()) continue;
      const Remaining remaining = remaining_of(headers, *kind, family);
      if (remaining == Remaining::none) exhausted = std::max(exhausted.value_or(*delay), *delay);
      if (remaining == Remaining::untold) untold = std::min(untold.value_or(*delay), *delay);
    }
  }
  return as_hint(exhausted ? exhausted : untold, HintSource::ratelimit_reset);
}

// A JSON value that names a time: a number of seconds, "6", "45.8s", or {"seconds":6,"nanos":5}.
std::optional<Duration> delay_in_json(const Json& value) {
  if (value.is_number()) return parse_number(value.dump(), seconds(1));
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    if (const auto number = parse_number(text, seconds(1))) return number;
    return parse_duration(text);
  }
  if (value.is_object() && value.contains("seconds")) return delay_in_json(value["seconds"]);
  return std::nullopt;
}

// The first usable time under `key` anywhere in the document, whose depth the parser bounded.
std::optional<RetryHint> find_in_json(const Json& value, const std::string& key) {
  if (!value.is_structured()) return std::nullopt;
  if (value.is_object()) {
    if (const auto found = value.find(key); found != value.end()) {
      if (const auto hint = as_hint(delay_in_json(*found), HintSource::body)) return hint;
    }
  }
  for (const Json& inner : value) {
    if (const auto hint = find_in_json(inner, key)) return hint;
  }
  return std::nullopt;
}

std::optional<RetryHint> from_body(std::string_view json_body) {
  if (json_body.empty()) return std::nullopt;
  const Json document = parse_error_json(json_body);
  if (document.is_discarded()) return std::nullopt;
  for (const char* key : {"retryDelay", "quotaResetDelay", "retry_after"}) {
    if (const auto hint = find_in_json(document, key)) return hint;
  }
  return std::nullopt;
}

}  // namespace

std::string_view name(HintSource source) {
  switch (source) {
    case HintSource::retry_after_ms:
      return "retry_after_ms";
    case HintSource::retry_after_seconds:
      return "retry_after_seconds";
    case HintSource::retry_after_date:
      return "retry_after_date";
    case HintSource::ratelimit_reset:
      return "ratelimit_reset";
    case HintSource::body:
      return "body";
    case HintSource::message:
      return "message";
  }
  return "unknown";
}

bool may_tell_hint(std::string_view header_name) {
  const auto begins = [&](std::string_view start) {
    return starts_with_ignoring_case(header_name, start);
  };
  return begins("retry-after") || begins("x-ms-retry-after-ms") || begins("date") ||
         std::ranges::any_of(kResetFamilies, begins, &ResetFamily::prefix);
}

std::optional<RetryHint> find_retry_hint(Headers headers, std::string_view json_body,
                                         std::string_view message, WallTime now) {
  if (const auto hint = from_retry_after_ms(headers)) return hint;
  if (const auto hint = from_retry_after(headers, now)) return hint;
  if (const auto hint = from_ratelimit_reset(headers, now)) return hint;
  if (const auto hint = from_body(json_body)) return hint;
  return as_hint(find_retry_phrase(message), HintSource::message);
}

}  // namespace spillway
