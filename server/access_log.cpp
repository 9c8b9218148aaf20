#include "server/access_log.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/body.hpp"
#include "core/bounds.hpp"
#include "server/log_lines.hpp"

namespace spillway::server {
namespace {

// At most `bytes` of `text`, cut between characters.
std::string_view cut(std::string_view text, std::size_t bytes) {
  if (text.size() <= bytes) return text;
  while (bytes > 0 && (static_cast<unsigned char>(text[bytes]) & 0xC0) == 0x80) --bytes;
  return text.substr(0, bytes);
}

// 2026-01-02T03:04:05.678Z
std::string utc(WallTime at) {
  const auto whole = std::chrono::floor<milliseconds>(at);
  const auto day = std::chrono::floor<std::chrono::days>(whole);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss time(whole - day);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     time.hours().count(), time.minutes().count(), time.seconds().count(),
                     time.subseconds().count());
}

bool needs_quotes(std::string_view value) {
  return std::ranges::any_of(value, [](unsigned char c) {
    return c <= ' ' || c == '"' || c == '=' || c == '\\' || c >= 0x7f;
  });
}

// Builds one line. In JSON every field is there, null where nothing is known; logfmt leaves such
// fields out.
class Line {
 public:
  explicit Line(AccessLogFormat format) : json_(format == AccessLogFormat::json) {
    text_.reserve(640);
  }

  Line& text(std::string_view name, std::string_view value) {
    if (value.empty()) return nothing(name);
    begin(name);
    text_ += json_ ? quote(value) : log_value(value);
    return *this;
  }
  // A number or a boolean, which both formats spell alike.
  template <typename Value>
  Line& plain(std::string_view name, Value value) {
    begin(name);
    fmt::format_to(std::back_inserter(text_), "{}", value);
    return *this;
  }
  Line& plain(std::string_view name, std::optional<std::uint64_t> value) {
    return value ? plain(name, *value) : nothing(name);
  }
  Line& milliseconds(std::string_view name, std::optional<Duration> value) {
    if (!value) return nothing(name);
    begin(name);
    const std::chrono::duration<double, std::milli> count = *value;
    fmt::format_to(std::back_inserter(text_), "{:.3f}", count.count());
    return *this;
  }
  std::string take() {
    if (json_) text_ += '}';
    return std::move(text_);
  }

 private:
  void begin(std::string_view name) {
    if (json_) {
      text_ += text_.empty() ? "{\"" : ",\"";
      text_.append(name).append("\":");
    } else {
      if (!text_.empty()) text_ += ' ';
      text_.append(name).append("=");
    }
  }
  Line& nothing(std::string_view name) {
    if (json_) {
      begin(name);
      text_ += "null";
    }
    return *this;
  }

  bool json_;
  std::string text_;
};

}  // namespace

std::string log_value(std::string_view value) {
  return needs_quotes(value) ? quote(value) : std::string(value);
}

std::string render(const AccessRecord& record, AccessLogFormat format) {
  if (format == AccessLogFormat::off) return {};
  using std::chrono::microseconds;
  Line line(format);
  line.text("time", utc(record.at))
      .text("request_id", record.request_id)
      .text("client", record.client)
      .text("key", record.key)
      .text("method", record.method)
      .text("path", cut(record.path, bounds::kModelNameBytes))
      .text("model", cut(record.model, bounds::kModelNameBytes))
      .text("group", record.group)
      .text("deployment", record.deployment)
      .text("provider", record.provider)
      .plain("status", record.status)
      .text("class", record.error_class ? name(*record.error_class) : "success")
      .text("detail", cut(record.detail, bounds::kErrorMessageBytes))
      .plain("attempts", record.attempts)
      .plain("fallbacks", record.fallbacks)
      .plain("cooldowns", record.cooldowns)
      .plain("stream", record.stream)
      .milliseconds("first_token_ms", record.time_to_first_token)
      .milliseconds("duration_ms", record.total)
      .plain("overhead_us", std::chrono::duration_cast<microseconds>(record.overhead).count())
      .plain("prompt_tokens", record.prompt_tokens)
      .plain("completion_tokens", record.completion_tokens)
      .plain("request_bytes", record.request_bytes)
      .plain("response_bytes", record.response_bytes);
  return line.take();
}

bool is_written(const AccessRecord& record, const AccessLog& settings, double draw) {
  if (settings.format == AccessLogFormat::off) return false;
  return record.error_class.has_value() || record.status >= 400 || draw < settings.sample;
}

void write_access_log(const AccessRecord& record, const AccessLog& settings, Random& random) {
  if (is_written(record, settings, uniform(random))) {
    queue_stdout_line(render(record, settings.format));
  }
}

std::uint64_t dropped_log_lines() {
  return dropped_stdout_lines();
}

}  // namespace spillway::server
