#include "server/answer.hpp"

#include <algorithm>
#include <array>
#include <boost/beast/http/status.hpp>
#include <charconv>

#include "core/ascii.hpp"
#include "core/body.hpp"
#include "core/head_check.hpp"
#include "server/append.hpp"
#include "server/hop_by_hop.hpp"
#include "server/worker.hpp"

namespace spillway::server {

namespace {

constexpr std::size_t kUsualHeadBytes = 768;

// A number as text.
class Digits {
 public:
  explicit Digits(std::uint64_t value)
      : end_(std::to_chars(digits_.data(), digits_.data() + digits_.size(), value).ptr) {}
  operator std::string_view() const { return {digits_.data(), end_}; }

 private:
  std::array<char, 20> digits_;
  const char* end_;
};

constexpr std::string_view kPassedNames[] = {"content-type", "retry-after", "retry-after-ms"};
constexpr std::string_view kPassedPrefixes[] = {"x-ratelimit-", "openai-", "anthropic-"};
constexpr std::string_view kExposedHeaders =
    "x-request-id, x-spillway-model-group, x-spillway-deployment, x-spillway-provider, "
    "x-spillway-attempts, x-spillway-fallbacks, x-spillway-overhead-us, retry-after";

bool passes(std::string_view name) {
  const auto is = [name](std::string_view known) { return equals_ignoring_case(name, known); };
  return std::ranges::any_of(kPassedNames, is) ||
         std::ranges::any_of(kPassedPrefixes, [name](std::string_view prefix) {
           return starts_with_ignoring_case(name, prefix);
         });
}

// The names that a provider gives the number of a request by.
bool numbers_request(std::string_view name) {
  return equals_ignoring_case(name, "x-request-id") || equals_ignoring_case(name, "request-id");
}

// The class that a refusal of the gateway's own is counted as. A method, a transfer coding or a
// version of HTTP that is not known here (501, 505) is the client's mistake.
ErrorClass class_of(int status) {
  switch (status) {
    case 500:
      return ErrorClass::internal;
    case 401:
      return ErrorClass::authentication;
    case 403:
      return ErrorClass::permission_denied;
    case 404:
      return ErrorClass::not_found;
    case 408:
      return ErrorClass::timeout;
    case 429:
      return ErrorClass::rate_limit;
    case 503:
      return ErrorClass::unavailable;
    default:
      return ErrorClass::invalid_request;
  }
}

}  // namespace

std::string_view reason_phrase(int status) {
  if (status == 529) return "Overloaded";
  const auto text = boost::beast::http::obsolete_reason(
      boost::beast::http::int_to_status(static_cast<unsigned>(status)));
  return {text.data(), text.size()};
}

ResponseHead::ResponseHead(Worker& worker, int status) {
  text_.reserve(kUsualHeadBytes);
  append_all(text_, "HTTP/1.1 ", Digits(static_cast<std::uint64_t>(status)), " ",
             reason_phrase(status), "\r\nDate: ", worker.http_date(), "\r\n");
}

void append_header(std::string& lines, std::string_view name, std::string_view value) {
  if (safe_header_value(value)) append_all(lines, name, ": ", value, "\r\n");
}

void append_number(std::string& text, std::uint64_t value) {
  append_all(text, Digits(value));
}

void append_header(std::string& lines, std::string_view name, std::uint64_t value) {
  append_all(lines, name, ": ", Digits(value), "\r\n");
}

ResponseHead& ResponseHead::add(std::string_view name, std::string_view value) {
  append_header(text_, name, value);
  return *this;
}

ResponseHead& ResponseHead::add(std::string_view name, std::uint64_t value) {
  append_header(text_, name, value);
  return *this;
}

ResponseHead& ResponseHead::add_common(const ClientRequest& request, const Config& config,
                                       bool keep_alive) {
  if (!request.id.empty()) add("x-request-id", request.id);
  if (!config.cors_origins.empty()) {
    add("Vary", "Origin");
    const auto origin = request.header("origin");
    if (origin && std::ranges::find(config.cors_origins, *origin) != config.cors_origins.end()) {
      add("Access-Control-Allow-Origin", *origin);
      add("Access-Control-Expose-Headers", kExposedHeaders);
    }
  }
  if (!keep_alive)
    add("Connection", "close");
  else if (request.http_1_0)
    add("Connection", "keep-alive");
  return *this;
}

ResponseHead& ResponseHead::add_from_provider(Headers headers) {
  for (const HeaderView& field : headers) {
    const bool passed = passes(field.name);
    if (!passed && !numbers_request(field.name)) continue;
    if (named_in_connection(headers, field.name)) continue;
    if (passed)
      add(fold(field.name), field.value);
    else
      add("x-spillway-upstream-request-id", field.value);
  }
  return *this;
}

ResponseHead& ResponseHead::add_lines(std::string_view lines) {
  text_.append(lines);
  return *this;
}

std::string ResponseHead::finish() {
  text_.append("\r\n");
  return std::move(text_);
}

Answer refusal(int status, std::string_view code, std::string_view param, std::string message) {
  Failure failure;
  failure.error_class = class_of(status);
  failure.status = status;
  failure.type = openai_type(failure.error_class);
  failure.code = code;
  failure.param = param;
  failure.message = std::move(message);
  return answer_for(failure);
}

Answer over_capacity(std::string message, std::string_view detail) {
  constexpr Duration kBusyRetry = seconds(1);
  Answer busy = refusal(503, "over_capacity", "", std::move(message));
  busy.retry_after = kBusyRetry;
  busy.detail = detail;
  return busy;
}

Answer out_of_memory() {
  return over_capacity("The gateway has no memory for the request.", "out of memory");
}

Answer answer_for(const Failure& failure) {
  Answer answer;
  answer.status = failure.status;
  answer.body = error_body(failure);
  answer.error_class = failure.error_class;
  return answer;
}

}  // namespace spillway::server
