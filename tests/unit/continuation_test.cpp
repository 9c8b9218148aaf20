#include "core/continuation.hpp"

#include <catch2/catch_test_macros.hpp>
#include <string>

#include "core/bounds.hpp"

namespace spillway {
namespace {

std::string asking(std::string_view more) {
  return R"({"model":"m","stream":true,"messages":[{"role":"user","content":"x"}])" +
         std::string(more) + "}";
}

bool continuable(Endpoint endpoint, const std::string& body) {
  const std::vector<std::string> keys(core_read_keys().begin(), core_read_keys().end());
  const auto view = view_body(body, endpoint, keys);
  REQUIRE(view);
  return may_be_continued(endpoint, body, *view);
}

TEST_CASE("A stream of one choice's text may be continued") {
  CHECK(continuable(Endpoint::chat_completions, asking("")));
  CHECK(continuable(Endpoint::chat_completions, asking(R"(,"n":1)")));
  CHECK(continuable(Endpoint::completions, asking(R"(,"n":null)")));
}

TEST_CASE("Other answers are not continued") {
  CHECK_FALSE(continuable(Endpoint::chat_completions, asking(R"(,"n":2)")));
  CHECK_FALSE(continuable(Endpoint::chat_completions, R"({"model":"m","messages":[]})"));
  CHECK_FALSE(continuable(Endpoint::responses, R"({"model":"m","stream":true,"input":"x"})"));
  const std::string padding(bounds::kResumableBodyBytes, ' ');
  CHECK_FALSE(continuable(Endpoint::chat_completions, asking(padding)));
}

TEST_CASE("What is asked of the whole answer cannot be asked of its rest") {
  CHECK(continues_by_prefix(asking("")));
  CHECK(continues_by_prefix(asking(R"(,"temperature":0,"max_tokens":null,"stop":null)")));
  for (const std::string_view more :
       {R"(,"max_tokens":8)", R"(,"max_completion_tokens":8)", R"(,"Max_Tokens":8)",
        R"(,"max_\u0074okens":8)", R"(,"stop":["END"])", R"(,"response_format":{"type":"text"})"}) {
    CAPTURE(more);
    CHECK_FALSE(continues_by_prefix(asking(more)));
  }
}

TEST_CASE("A request that brings the beginning of an answer is not given another") {
  const auto ending_in = [](std::string_view last) {
    return R"({"model":"m","messages":[{"role":"assistant","content":"a"},)" + std::string(last) +
           "]}";
  };
  CHECK(continues_by_prefix(ending_in(R"({"role":"user","content":"assistant"})")));
  CHECK_FALSE(continues_by_prefix(ending_in(R"({"role":"assistant","content":"b"})")));
  CHECK_FALSE(continues_by_prefix(ending_in(R"({"content":["b"],"r\u006fle": "assistant"} )")));
}

TEST_CASE("A deployment that limits every answer itself continues none by a prefix") {
  Deployment deployment;
  CHECK_FALSE(continues_by_prefix(deployment));
  deployment.assistant_prefill = true;
  deployment.body.defaults = {{"temperature", "0"}};
  CHECK(continues_by_prefix(deployment));
  deployment.body.defaults.emplace_back("max_tokens", "100");
  CHECK_FALSE(continues_by_prefix(deployment));
}

}  // namespace
}  // namespace spillway
