#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/outcome.hpp"

namespace spillway {
namespace {

constexpr UpstreamName kUpstream{"groq", "fast-1"};
const WallTime kNow = std::chrono::sys_days(std::chrono::year(2026) / 1 / 2) + seconds(3);

Failure http(int status, std::string_view body, Headers headers = {}) {
  return classify(HttpAnswer{status, headers, body}, kUpstream, kNow);
}
Failure in_band(std::string_view body) {
  return classify(InBandError{body, {}}, kUpstream, kNow);
}
Failure transport(TransportPhase phase, TransportCause cause) {
  return classify(TransportFailure{phase, cause, "10.1.2.3:443 ECONNRESET", false}, kUpstream,
                  kNow);
}

struct StatusRow {
  int status;
  ErrorClass error_class;
  int client_status;
  std::string_view type;
};

}  // namespace

TEST_CASE("a status decides the class, the client's status and the type") {
  const StatusRow rows[] = {
      {400, ErrorClass::invalid_request, 400, "invalid_request_error"},
      {401, ErrorClass::authentication, 401, "authentication_error"},
      {402, ErrorClass::quota_exhausted, 429, "insufficient_quota"},
      {403, ErrorClass::permission_denied, 403, "permission_denied_error"},
      {404, ErrorClass::not_found, 404, "not_found_error"},
      {405, ErrorClass::invalid_request, 405, "invalid_request_error"},
      {408, ErrorClass::timeout, 408, "timeout_error"},
      {409, ErrorClass::conflict, 409, "conflict_error"},
      {413, ErrorClass::invalid_request, 413, "invalid_request_error"},
      {418, ErrorClass::invalid_request, 418, "invalid_request_error"},
      {422, ErrorClass::unprocessable, 422, "unprocessable_entity_error"},
      {429, ErrorClass::rate_limit, 429, "rate_limit_error"},
      {500, ErrorClass::internal, 500, "server_error"},
      {501, ErrorClass::internal, 500, "server_error"},
      {502, ErrorClass::bad_gateway, 502, "bad_gateway_error"},
      {503, ErrorClass::unavailable, 503, "service_unavailable_error"},
      {504, ErrorClass::timeout, 504, "timeout_error"},
      {520, ErrorClass::bad_gateway, 502, "bad_gateway_error"},
      {524, ErrorClass::timeout, 504, "timeout_error"},
      {529, ErrorClass::unavailable, 503, "service_unavailable_error"},
      {599, ErrorClass::internal, 500, "server_error"},
  };
  for (const StatusRow& row : rows) {
    CAPTURE(row.status);
    const Failure failure = http(row.status, R"({"error":{"message":"no"}})");
    CHECK(failure.error_class == row.error_class);
    CHECK(failure.status == row.client_status);
    CHECK(failure.type == row.type);
    CHECK(failure.upstream_status == row.status);
  }
}

TEST_CASE("a status outside of 400 to 599 is a protocol violation") {
  for (const int status :
       {0, 100, 101, 103, 200, 204, 205, 301, 302, 304, 307, 308, 399, 600, 999}) {
    CAPTURE(status);
    const Failure failure = http(status, R"({"error":{"code":"rate_limit_exceeded"}})");
    CHECK(failure.error_class == ErrorClass::protocol);
    CHECK(failure.status == 502);
    CHECK(failure.type == "bad_gateway_error");
    CHECK(failure.upstream_status == status);
  }
}

TEST_CASE("an answer with a status is never a connection error, whatever its body says") {
  for (int status = 0; status < 1000; ++status) {
    const Failure failure =
        http(status,
             R"({"error":{"message":"APIConnectionError: rate limit","code":"connection_error"}})");
    CHECK(failure.error_class != ErrorClass::connection);
  }
}

TEST_CASE("the 429 of a provider nobody heard of is a rate limit with its hint") {
  const Failure failure =
      http(429, R"({"error":{"message":"Rate limit exceeded. Retry in 6s.","type":"rate_limit"}})");
  CHECK(failure.error_class == ErrorClass::rate_limit);
  REQUIRE(failure.hint);
  CHECK(*failure.hint == RetryHint{seconds(6), HintSource::message});
  CHECK(failure.message == "Rate limit exceeded. Retry in 6s.");
}

TEST_CASE("a machine-readable code outweighs the status") {
  struct Row {
    int status;
    std::string_view body;
    ErrorClass error_class;
  };
  const Row rows[] = {
      {400, R"({"error":{"code":"rate_limit_exceeded"}})", ErrorClass::rate_limit},
      {503, R"({"error":{"code":"rate_limit_exceeded"}})", ErrorClass::rate_limit},
      {413, R"({"error":{"type":"tokens","code":"rate_limit_exceeded"}})", ErrorClass::rate_limit},
      {500, R"({"error":{"type":"rate_limit_error"}})", ErrorClass::rate_limit},
      {503, R"({"error":{"status":"RESOURCE_EXHAUSTED","code":503}})", ErrorClass::rate_limit},
      {429, R"({"error":{"code":"insufficient_quota"}})", ErrorClass::quota_exhausted},
      {429, R"({"error":{"type":"insufficient_quota"}})", ErrorClass::quota_exhausted},
      {400, R"({"error":{"code":"billing_hard_limit_reached"}})", ErrorClass::quota_exhausted},
      {429, R"({"error":{"code":"context_length_exceeded"}})", ErrorClass::rate_limit},
      {402, R"({"error":{"code":"rate_limit_exceeded"}})", ErrorClass::quota_exhausted},
      {400, R"({"error":{"code":"context_length_exceeded"}})", ErrorClass::context_window_exceeded},
      {413, R"({"error":{"code":"context_length_exceeded"}})", ErrorClass::context_window_exceeded},
      {422, R"({"error":{"code":"ContextLengthExceeded"}})", ErrorClass::context_window_exceeded},
      {400, R"({"error":{"type":"exceed_context_size_error"}})",
       ErrorClass::context_window_exceeded},
      {500, R"({"error":{"code":"context_length_exceeded"}})", ErrorClass::context_window_exceeded},
      {503, R"({"error":{"code":"context_length_exceeded"}})", ErrorClass::unavailable},
      {400, R"({"error":{"code":"content_policy_violation"}})",
       ErrorClass::content_policy_violation},
      {403, R"({"error":{"code":"content_filter"}})", ErrorClass::content_policy_violation},
      {400, R"({"error":{"code":"x","innererror":{"code":"ResponsibleAIPolicyViolation"}}})",
       ErrorClass::content_policy_violation},
      {400,
       R"({"error":{"code":400,"status":"INVALID_ARGUMENT",)"
       R"("details":[{"reason":"API_KEY_INVALID"}]}})",
       ErrorClass::authentication},
      {400, R"({"error":{"code":"model_decommissioned"}})", ErrorClass::not_found},
      {400, R"({"error":{"code":400,"status":"INVALID_ARGUMENT"}})", ErrorClass::invalid_request},
      {400, R"({"error":{"type":"overloaded_error"}})", ErrorClass::invalid_request},
      {401, R"({"error":{"code":"context_length_exceeded"}})", ErrorClass::authentication},
  };
  for (const Row& row : rows) {
    CAPTURE(row.status, row.body);
    CHECK(http(row.status, row.body).error_class == row.error_class);
  }
}

TEST_CASE("a quota per day is exhausted, a quota per minute is a rate limit") {
  const auto body = [](std::string_view quota_id) {
    return R"({"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"@type":)"
           R"("type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":")" +
           std::string(quota_id) + R"("}]}]}})";
  };
  CHECK(http(429, body("GenerateRequestsPerDayPerProjectPerModel-FreeTier")).error_class ==
        ErrorClass::quota_exhausted);
  const Failure minute = http(429, body("GenerateRequestsPerMinutePerProjectPerModel"));
  CHECK(minute.error_class == ErrorClass::rate_limit);
  CHECK(minute.code == "RESOURCE_EXHAUSTED");
}

TEST_CASE(
    "a known phrase tells context-window and content-policy rejections apart without a code") {
  struct Row {
    int status;
    std::string_view message;
    ErrorClass error_class;
  };
  const Row rows[] = {
      {400, "This model's maximum context length is 4097 tokens.",
       ErrorClass::context_window_exceeded},
      {413, "PROMPT IS TOO LONG: 210000 tokens > 200000", ErrorClass::context_window_exceeded},
      {422, "`inputs` tokens + `max_new_tokens` must be <= 4096",
       ErrorClass::context_window_exceeded},
      {400, "current length is 9000 while limit is 8192", ErrorClass::context_window_exceeded},
      {400, "current length is 9000", ErrorClass::invalid_request},
      {404, "maximum context length", ErrorClass::not_found},
      {403, "maximum context length", ErrorClass::permission_denied},
      {500, "maximum context length", ErrorClass::internal},
      {400, "Your request was rejected as a result of our safety system.",
       ErrorClass::content_policy_violation},
      {403, "Invalid prompt: flagged as potentially violating our usage policy",
       ErrorClass::content_policy_violation},
      {400, "Invalid prompt", ErrorClass::invalid_request},
      {422, "rejected as a result of our safety system", ErrorClass::unprocessable},
      {500, "rejected as a result of our safety system", ErrorClass::internal},
  };
  for (const Row& row : rows) {
    CAPTURE(row.status, row.message);
    const nlohmann::json body = {{"error", {{"message", row.message}}}};
    CHECK(http(row.status, body.dump()).error_class == row.error_class);
  }
}

TEST_CASE("words of other failures decide nothing") {
  for (const std::string_view message :
       {"rate limit exceeded", "429", "timeout", "APIConnectionError", "insufficient_quota"}) {
    CAPTURE(message);
    const nlohmann::json body = {{"error", {{"message", message}}}};
    CHECK(http(400, body.dump()).error_class == ErrorClass::invalid_request);
    CHECK(http(500, body.dump()).error_class == ErrorClass::internal);
  }
}

TEST_CASE("403 and 404 concern the deployment only if a code names its model or credential") {
  struct Row {
    int status;
    std::string_view body;
    bool concerns;
  };
  const Row rows[] = {
      {404, R"({"error":{"code":"model_not_found"}})", true},
      {404, R"({"error":{"code":"DeploymentNotFound"}})", true},
      {404, R"({"error":{"message":"no such thing","param":"model"}})", true},
      {404, R"({"error":{"message":"no such model","type":"invalid_request_error"}})", false},
      {404, R"({"error":{"code":"response_not_found","param":"previous_response_id"}})", false},
      {404, "<html>", false},
      {403, R"({"error":{"code":"invalid_api_key"}})", true},
      {403, R"({"error":{"code":"account_deactivated"}})", true},
      {403, R"({"error":{"code":"model_not_found"}})", true},
      {403, R"({"error":{"param":"model"}})", false},
      {403, R"({"error":{"code":"unsupported_country_region_territory"}})", false},
      {500, R"({"error":{"code":"model_not_found"}})", false},
  };
  for (const Row& row : rows) {
    CAPTURE(row.status, row.body);
    CHECK(http(row.status, row.body).concerns_deployment == row.concerns);
  }
}

TEST_CASE("no answer is classified by its phase and cause") {
  struct Row {
    TransportPhase phase;
    TransportCause cause;
    ErrorClass error_class;
    int status;
  };
  using enum TransportPhase;
  using enum TransportCause;
  const Row rows[] = {
      {resolve, failed, ErrorClass::connection, 502},
      {resolve, timed_out, ErrorClass::connection, 504},
      {connect, failed, ErrorClass::connection, 502},
      {connect, timed_out, ErrorClass::connection, 504},
      {tls, failed, ErrorClass::connection, 502},
      {tls, timed_out, ErrorClass::connection, 504},
      {send, failed, ErrorClass::connection, 502},
      {send, timed_out, ErrorClass::timeout, 504},
      {await_head, failed, ErrorClass::connection, 502},
      {await_head, timed_out, ErrorClass::timeout, 504},
      {await_first_token, failed, ErrorClass::protocol, 502},
      {await_first_token, timed_out, ErrorClass::timeout, 504},
      {body, failed, ErrorClass::protocol, 502},
      {body, timed_out, ErrorClass::timeout, 504},
      {idle, failed, ErrorClass::protocol, 502},
      {idle, timed_out, ErrorClass::timeout, 504},
  };
  for (const Row& row : rows) {
    CAPTURE(name(row.phase), row.cause == timed_out);
    const Failure failure = transport(row.phase, row.cause);
    CHECK(failure.error_class == row.error_class);
    CHECK(failure.status == row.status);
    CHECK(failure.type == openai_type(row.error_class));
    CHECK(failure.upstream_status == 0);
    CHECK_FALSE(failure.client_deadline);
    CHECK(failure.message.find("groq") != std::string::npos);
    CHECK(failure.message.find("10.1.2.3") == std::string::npos);
    CHECK(failure.detail.find("10.1.2.3") != std::string::npos);
    CHECK(failure.detail.starts_with(name(row.phase)));
  }
}

TEST_CASE("a client's own deadline stays marked as the client's") {
  const TransportFailure shortened{TransportPhase::await_head, TransportCause::timed_out, "", true};
  CHECK(classify(shortened, kUpstream, kNow).client_deadline);
}

TEST_CASE("a protocol violation is a 502 whose detail is for the log only") {
  const Failure failure = classify(ProtocolViolation{"chunk size\nis junk"}, kUpstream, kNow);
  CHECK(failure.error_class == ErrorClass::protocol);
  CHECK(failure.status == 502);
  CHECK(failure.detail == "chunk size is junk");
  CHECK(failure.message.find("chunk") == std::string::npos);
}

TEST_CASE("an error inside a 200 is classified by number, then string code, then type") {
  struct Row {
    std::string_view body;
    ErrorClass error_class;
    int status;
  };
  const Row rows[] = {
      {R"({"error":{"code":429,"message":"m"}})", ErrorClass::rate_limit, 429},
      {R"({"error":{"code":"503","message":"m"}})", ErrorClass::unavailable, 503},
      {R"([{"error":{"code":503,"status":"UNAVAILABLE"}}])", ErrorClass::unavailable, 503},
      {R"({"error":{"status_code":404}})", ErrorClass::not_found, 404},
      {R"({"object":"error","code":400,"type":"BadRequestError"})", ErrorClass::invalid_request,
       400},
      {R"({"error":{"code":"rate_limit_exceeded","type":"server_error"}})", ErrorClass::rate_limit,
       429},
      {R"({"error":{"code":"odd","type":"overloaded_error"}})", ErrorClass::unavailable, 503},
      {R"({"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}})",
       ErrorClass::unavailable, 503},
      {R"({"type":"response.failed","response":{"error":{"code":"server_error","message":"m"}}})",
       ErrorClass::internal, 500},
      {R"({"type":"error","code":"rate_limit_exceeded","message":"m"})", ErrorClass::rate_limit,
       429},
      {R"({"error":{"code":"context_length_exceeded"}})", ErrorClass::context_window_exceeded, 400},
      {R"({"error":{"type":"invalid_request_error","message":"prompt is too long"}})",
       ErrorClass::context_window_exceeded, 400},
      {R"({"error":{"code":"insufficient_quota"}})", ErrorClass::quota_exhausted, 429},
      {R"({"error":{"status":"DEADLINE_EXCEEDED"}})", ErrorClass::timeout, 504},
      {R"({"error":{"code":"invalid_api_key"}})", ErrorClass::authentication, 401},
      {R"({"error":"something broke"})", ErrorClass::bad_gateway, 502},
      {R"({"error":{"code":200,"message":"m"}})", ErrorClass::bad_gateway, 502},
      {R"({"error":{"code":99999999999999999999,"message":"m"}})", ErrorClass::bad_gateway, 502},
      {"not json", ErrorClass::bad_gateway, 502},
      {"", ErrorClass::bad_gateway, 502},
  };
  for (const Row& row : rows) {
    CAPTURE(row.body);
    const Failure failure = in_band(row.body);
    CHECK(failure.error_class == row.error_class);
    CHECK(failure.status == row.status);
    CHECK(failure.upstream_status == 200);
  }
}

TEST_CASE("hints are read for failures that time heals, not for the client's mistakes") {
  const HeaderView headers[] = {{"Retry-After", "7"}};
  for (const int status : {402, 408, 429, 500, 502, 503, 504, 529}) {
    CAPTURE(status);
    CHECK(http(status, "", headers).hint == RetryHint{seconds(7), HintSource::retry_after_seconds});
  }
  for (const int status : {302, 400, 401, 403, 404, 409, 413, 422}) {
    CAPTURE(status);
    CHECK_FALSE(http(status, "", headers).hint);
  }
}

TEST_CASE("a header is found whatever its case, the first one first") {
  const HeaderView headers[] = {{"X-A", "1"}, {"x-a", "2"}, {"X-Ab", "3"}};
  CHECK(find_header(headers, "x-A") == "1");
  CHECK(find_header(headers, "x-ab") == "3");
  CHECK_FALSE(find_header(headers, "x"));
}

TEST_CASE("every class has its own name, a type and an error status") {
  std::vector<std::string_view> names;
  for (std::size_t i = 0; i < kErrorClassCount; ++i) {
    const auto error_class = static_cast<ErrorClass>(i);
    names.push_back(name(error_class));
    CHECK(name(error_class) != "unknown");
    CHECK_FALSE(openai_type(error_class).empty());
    CHECK(default_status(error_class) >= 400);
  }
  std::ranges::sort(names);
  CHECK(std::ranges::adjacent_find(names) == names.end());
}

}  // namespace spillway
