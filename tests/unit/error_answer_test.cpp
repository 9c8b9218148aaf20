#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

#include "core/bounds.hpp"
#include "core/outcome.hpp"

namespace spillway {
namespace {

constexpr UpstreamName kUpstream{"groq", "fast-1"};
const WallTime kNow = std::chrono::sys_days(std::chrono::year(2026) / 1 / 2) + seconds(3);

Failure http(int status, std::string_view body, Headers headers = {}) {
  return classify(HttpAnswer{status, headers, body}, kUpstream, kNow);
}

}  // namespace

TEST_CASE("context-window and content-policy failures carry OpenAI's code and status") {
  const Failure context = http(413, R"({"error":{"message":"prompt is too long","code":"odd"}})");
  CHECK(context.status == 400);
  CHECK(context.code == "context_length_exceeded");
  CHECK(context.type == "invalid_request_error");
  const Failure policy = http(403, R"({"error":{"message":"m","code":"content_filter"}})");
  CHECK(policy.status == 400);
  CHECK(policy.code == "content_policy_violation");
  CHECK(policy.type == "invalid_request_error");
}

TEST_CASE("a refused credential is told as the gateway's, without the upstream's words") {
  for (const int status : {400, 401, 403}) {
    CAPTURE(status);
    const Failure failure =
        http(status, R"({"error":{"message":"Incorrect API key provided: sk-ab***xy",)"
                     R"("code":"invalid_api_key"}})");
    CHECK(failure.message.find("sk-") == std::string::npos);
    CHECK(failure.message.find("groq") != std::string::npos);
    CHECK(failure.message.find("gateway") != std::string::npos);
  }
  CHECK(http(401, R"({"error":{"message":"bad key sk-1"}})").message.find("sk-") ==
        std::string::npos);
  CHECK(http(401, "{}").code == "upstream_authentication_failed");
}

TEST_CASE("every shape of error body yields its message") {
  for (const std::string_view body : {
           R"({"error":{"message":"boom"}})",
           R"({"error":"boom"})",
           R"([{"error":{"message":"boom"}}])",
           R"({"object":"error","message":"boom","type":"BadRequestError","code":400})",
           R"({"type":"error","error":{"type":"invalid_request_error","message":"boom"}})",
           R"({"type":"response.failed","response":{"error":{"code":"x","message":"boom"}}})",
           R"({"code":400,"message":"boom"})",
           R"({"detail":"boom"})",
           R"({"detail":[{"loc":["body"],"msg":"boom"}]})",
           R"({"errors":[{"code":10000,"message":"boom"}]})",
           R"({"error":{"code":"x"},"message":"boom"})",
       }) {
    CAPTURE(body);
    CHECK(http(400, body).message == "boom");
  }
}

TEST_CASE("a body that says nothing is replaced by a sentence with provider and status") {
  for (const std::string_view body :
       {"", "<html><body>502 Bad Gateway</body></html>", "upstream connect error", "{", "[]",
        "null", "{}", "42", R"({"error":null})", R"({"error":{"message":""}})",
        R"({"error":{"message":"<!DOCTYPE html><p>nope"}})"}) {
    CAPTURE(body);
    const Failure failure = http(502, body);
    CHECK(failure.error_class == ErrorClass::bad_gateway);
    CHECK(failure.message ==
          "Provider groq answered with status 502 and no readable error message.");
    CHECK(failure.code.empty());
  }
}

TEST_CASE("a message is bounded, cut between characters and free of control characters") {
  const nlohmann::json lined = {{"error", {{"message", "one\r\ntwo\x1b[31m\x7f"}}}};
  CHECK(http(400, lined.dump()).message == "one  two [31m ");

  std::string accents = "x";
  while (accents.size() < bounds::kErrorMessageBytes + 100) accents += "é";
  const nlohmann::json longer = {{"error", {{"message", accents}}}};
  const std::string shown = http(400, longer.dump()).message;
  CHECK(shown.size() <= bounds::kErrorMessageBytes);
  CHECK(shown.size() >= bounds::kErrorMessageBytes - 3);
  CHECK(accents.starts_with(shown));
  CHECK_NOTHROW(nlohmann::json(shown).dump());  // strict: throws if the cut split a character
}

TEST_CASE("code and param are passed on if they are presentable") {
  const Failure sane = http(400, R"({"error":{"message":"m","code":"bad_value","param":"top_p"}})");
  CHECK(sane.code == "bad_value");
  CHECK(sane.param == "top_p");
  CHECK(http(400, R"({"error":{"message":"m","code":1234}})").code == "1234");
  CHECK(http(400, R"({"error":{"message":"m","code":{"a":1},"param":["x"]}})").code.empty());
  CHECK(http(400, R"({"error":{"message":"m","code":"a\nb"}})").code.empty());
  const std::string long_code(129, 'x');
  CHECK(http(400, R"({"error":{"message":"m","code":")" + long_code + R"("}})").code.empty());
  CHECK(http(402, "{}").code == "insufficient_quota");
}

TEST_CASE("an error body has OpenAI's four members, null where there is nothing") {
  Failure failure;
  failure.message = "bad \"quote\" \xff";
  failure.type = "invalid_request_error";
  CHECK(error_body(failure) ==
        "{\"error\":{\"message\":\"bad \\\"quote\\\" "
        "\xEF\xBF\xBD\",\"type\":\"invalid_request_error\","
        "\"param\":null,\"code\":null}}");
  failure.message = "m";
  failure.code = "c";
  failure.param = "p";
  CHECK(error_body(failure) ==
        R"({"error":{"message":"m","type":"invalid_request_error","param":"p","code":"c"}})");
}

TEST_CASE("bodies nested beyond reason and random bytes are classified without harm") {
  const std::string deep = std::string(60000, '[') + std::string(60000, ']');
  CHECK(http(500, deep).error_class == ErrorClass::internal);
  std::string objects;
  for (int i = 0; i < 9000; ++i) objects += R"({"e":)";
  CHECK(http(429, objects).error_class == ErrorClass::rate_limit);

  const auto seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  constexpr std::string_view kAlphabet =
      "{}[]\",:0123456789.eE+-\\u tru\xc3\xa9\xff\x00nfalserorcdmg";
  for (int round = 0; round < 5000; ++round) {
    std::string body = round % 2 ? R"({"error":)" : "";
    for (std::size_t i = random() % 80; i > 0; --i) body += kAlphabet[random() % kAlphabet.size()];
    if (round % 2) body += "}";
    const Failure failure = http(400 + static_cast<int>(random() % 200), body);
    CHECK(failure.status >= 400);
    CHECK(failure.status <= 599);
    CHECK(nlohmann::json::parse(error_body(failure))["error"].size() == 4);
  }
}

}  // namespace spillway
