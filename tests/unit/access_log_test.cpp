#include "server/access_log.hpp"

#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

#include "core/bounds.hpp"

namespace spillway::server {
namespace {

AccessRecord failed_over() {
  AccessRecord record;
  record.at = std::chrono::sys_days(std::chrono::year(2026) / 1 / 2) + std::chrono::hours(3) +
              minutes(4) + seconds(5) + milliseconds(67);
  record.request_id = "req-1";
  record.key = "team a";
  record.client = "127.0.0.1";
  record.method = "POST";
  record.path = "/v1/chat/completions";
  record.model = "gpt";
  record.group = "gpt";
  record.deployment = "d2";
  record.provider = "groq";
  record.status = 200;
  record.attempts = 2;
  record.cooldowns = 1;
  record.stream = true;
  record.time_to_first_token = std::chrono::microseconds(12345);
  record.total = milliseconds(1500);
  record.overhead = std::chrono::microseconds(87);
  record.prompt_tokens = 11;
  record.request_bytes = 120;
  record.response_bytes = 4096;
  return record;
}

}  // namespace

TEST_CASE("a JSON line holds every field, null where nothing is known") {
  const auto line = nlohmann::json::parse(render(failed_over(), AccessLogFormat::json));
  const nlohmann::json expected = {{"time", "2026-01-02T03:04:05.067Z"},
                                   {"request_id", "req-1"},
                                   {"client", "127.0.0.1"},
                                   {"key", "team a"},
                                   {"method", "POST"},
                                   {"path", "/v1/chat/completions"},
                                   {"model", "gpt"},
                                   {"group", "gpt"},
                                   {"deployment", "d2"},
                                   {"provider", "groq"},
                                   {"status", 200},
                                   {"class", "success"},
                                   {"detail", nullptr},
                                   {"attempts", 2},
                                   {"fallbacks", 0},
                                   {"cooldowns", 1},
                                   {"stream", true},
                                   {"first_token_ms", 12.345},
                                   {"duration_ms", 1500.0},
                                   {"overhead_us", 87},
                                   {"prompt_tokens", 11},
                                   {"completion_tokens", nullptr},
                                   {"request_bytes", 120},
                                   {"response_bytes", 4096}};
  CHECK(line == expected);
}

TEST_CASE("a logfmt line leaves out what is not known and quotes what needs it") {
  CHECK(
      render(failed_over(), AccessLogFormat::logfmt) ==
      "time=2026-01-02T03:04:05.067Z request_id=req-1 client=127.0.0.1 key=\"team a\" method=POST "
      "path=/v1/chat/completions model=gpt group=gpt deployment=d2 provider=groq status=200 "
      "class=success attempts=2 fallbacks=0 cooldowns=1 stream=true first_token_ms=12.345 "
      "duration_ms=1500.000 overhead_us=87 prompt_tokens=11 request_bytes=120 response_bytes=4096");
}

TEST_CASE("nothing a client sends breaks a line in two or ends a value early") {
  AccessRecord record = failed_over();
  record.model = "x\r\n{\"status\":200} \" = \x1b[0m \xff";
  record.path = "/v1/\n";
  const std::string json = render(record, AccessLogFormat::json);
  CHECK(json.find('\n') == std::string::npos);
  CHECK(nlohmann::json::parse(json)["model"].get<std::string>().starts_with("x\r\n{"));

  const std::string logfmt = render(record, AccessLogFormat::logfmt);
  CHECK(logfmt.find('\n') == std::string::npos);
  CHECK(logfmt.find('\r') == std::string::npos);
  CHECK(logfmt.find('\x1b') == std::string::npos);
  CHECK(logfmt.find(R"(model="x\r\n{\"status\":200} \" = )") != std::string::npos);
}

TEST_CASE("values a stranger chooses are bounded, cut between characters") {
  AccessRecord record = failed_over();
  const std::string model = "a" + [] {
    std::string text;
    while (text.size() < 2 * bounds::kModelNameBytes) text += "é";
    return text;
  }();
  const std::string detail(2 * bounds::kErrorMessageBytes, 'x');
  record.model = model;
  record.detail = detail;
  const auto line = nlohmann::json::parse(render(record, AccessLogFormat::json));
  const auto shown = line["model"].get<std::string>();
  CHECK(shown.size() <= bounds::kModelNameBytes);
  CHECK(model.starts_with(shown));
  CHECK(line["detail"].get<std::string>().size() == bounds::kErrorMessageBytes);
}

TEST_CASE("random bytes in every text stay one parseable line") {
  const auto seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (std::size_t i = random() % 40; i > 0; --i) text += static_cast<char>(random() % 256);
    AccessRecord record = failed_over();
    record.model = record.path = record.request_id = record.detail = record.key = text;
    const std::string json = render(record, AccessLogFormat::json);
    CHECK(nlohmann::json::accept(json));
    CHECK(json.find('\n') == std::string::npos);
    CHECK(render(record, AccessLogFormat::logfmt).find('\n') == std::string::npos);
  }
}

TEST_CASE("the class of a failure is named") {
  AccessRecord record = failed_over();
  record.status = 499;
  record.error_class = ErrorClass::client_closed;
  const auto line = nlohmann::json::parse(render(record, AccessLogFormat::json));
  CHECK(line["status"] == 499);
  CHECK(line["class"] == "client_closed");
}

TEST_CASE("failures are always written, successes by the sample") {
  AccessRecord success = failed_over();
  AccessRecord failure = failed_over();
  failure.status = 502;
  failure.error_class = ErrorClass::protocol;
  AccessRecord broken_stream = failed_over();  // 200 was sent before it failed
  broken_stream.error_class = ErrorClass::protocol;
  AccessRecord refused = failed_over();
  refused.status = 401;

  const AccessLog tenth{AccessLogFormat::json, 0.1};
  CHECK(is_written(success, tenth, 0.05));
  CHECK_FALSE(is_written(success, tenth, 0.1));
  for (const AccessRecord* record : {&failure, &broken_stream, &refused}) {
    CHECK(is_written(*record, tenth, 0.999));
    CHECK(is_written(*record, {AccessLogFormat::logfmt, 0.0}, 0.0));
    CHECK_FALSE(is_written(*record, {AccessLogFormat::off, 1.0}, 0.0));
  }
  CHECK(is_written(success, {AccessLogFormat::json, 1.0}, 0.999999));
  CHECK_FALSE(is_written(success, {AccessLogFormat::json, 0.0}, 0.0));
  CHECK_FALSE(is_written(success, {AccessLogFormat::off, 1.0}, 0.0));
}

TEST_CASE("no line is made where the log is off") {
  CHECK(render(failed_over(), AccessLogFormat::off).empty());
}

}  // namespace spillway::server
