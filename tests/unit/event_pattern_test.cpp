#include "core/event_pattern.hpp"

#include <catch2/catch_test_macros.hpp>
#include <random>
#include <string>
#include <vector>

#include "core/bounds.hpp"
#include "tests/event_facts.hpp"

namespace spillway {
namespace {

std::string chunk(std::string_view delta, std::string_view behind = "") {
  return R"({"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m",)"
         R"("choices":[{"index":0,"delta":{)" +
         std::string(delta) + R"(},"logprobs":null,"finish_reason":null}])" + std::string(behind) +
         "}";
}

std::string says(std::string_view literal) {
  return chunk(R"("content":)" + std::string(literal));
}

// Whether `next` is known once `first` was learned; and it says what reading it says.
bool known_after(const std::string& first, const std::string& next) {
  CAPTURE(first, next);
  EventPattern pattern;
  const auto facts = read_event(first);
  REQUIRE(facts);
  pattern.learn(first, *facts);
  const auto matched = pattern.match(next);
  if (!matched) return false;
  const auto read = read_event(next);
  REQUIRE(read);
  REQUIRE(same_facts(*matched, *read));
  return true;
}

TEST_CASE("an event that differs in its text is known without being read") {
  CHECK(known_after(says(R"("Hel")"), says(R"("lo")")));
  CHECK(known_after(says(R"("a")"), says(R"("longer than what was there before, in all")")));
  CHECK(known_after(says(R"("a")"), says(R"("\n\"\u00e9\ud83d")")));
  CHECK(known_after(says(R"("a")"), says("\"gr\xC3\xBC\xC3\x9F\"")));
  CHECK(known_after(says("\"\\n\""), says(R"("a")")));
  CHECK(known_after(R"({"choices":[{"index":0,"text":"a"}]})",
                    R"({"choices":[{"index":0,"text":"b"}]})"));
  CHECK(known_after(chunk(R"("content":null,"reasoning_content":"a")"),
                    chunk(R"("content":null,"reasoning_content":"because")")));
}

TEST_CASE("where a choice says several things the last of them may be another") {
  // If one of them is text, only that may vary: else nothing is known.
  CHECK_FALSE(known_after(chunk(R"("content":"a","reasoning":"b")"),
                          chunk(R"("content":"a","reasoning":"c")")));
  CHECK(known_after(chunk(R"("reasoning":"a","content":"b")"),
                    chunk(R"("reasoning":"a","content":"c")")));
  CHECK_FALSE(known_after(chunk(R"("reasoning":"a","content":"b")"),
                          chunk(R"("reasoning":"c","content":"b")")));
  CHECK(known_after(chunk(R"("content":"a","content":"b")"),
                    chunk(R"("content":"a","content":"c")")));
  CHECK(known_after(chunk(R"("c\u006fntent":"a")"), chunk(R"("c\u006fntent":"b")")));
  const auto two_choices = [](std::string_view text) {
    return R"({"choices":[{"index":0,"text":""},{"index":200,"text":")" + std::string(text) +
           R"("}]})";
  };
  CHECK(known_after(two_choices("a"), two_choices("b")));
}

TEST_CASE("a text may be long and of any letters") {
  std::string text;
  for (int i = 0; i < 100; ++i) text += "\xC3\xBC\xE2\x82\xAC";
  CHECK(known_after(says(R"("a")"), says('"' + text + '"')));
  CHECK_FALSE(known_after(says(R"("a")"), says('"' + text + "\xC3\"")));
}

TEST_CASE("the letters that hide how long the text is may be others too") {
  const std::string_view content = R"("content":"a")";
  const std::string first = chunk(content, R"(,"obfuscation":"x1Yz")");
  CHECK(known_after(first, chunk(R"("content":"abc")", R"(,"obfuscation":"q")")));
  CHECK_FALSE(known_after(first, chunk(content)));
  CHECK_FALSE(known_after(chunk(content), first));
  CHECK_FALSE(known_after(first, chunk(content, R"(,"obfuscation":3)")));
  const std::string before = R"({"obfuscation":"x","choices":[{"index":0,"text":"a"}]})";
  CHECK_FALSE(known_after(before, before));
}

TEST_CASE("an event that differs in anything else is read") {
  const std::string first = says(R"("a")");
  for (const std::string& other : {
           says(R"("")"),
           says("null"),
           says("[]"),
           says("1"),
           says(R"( "b")"),
           says(R"("b" )"),
           says("\"\\x\""),
           says("\"\t\""),
           says("\"\xFF\""),
           says(R"("b)"),
           says(R"("b\")"),
           says(R"("b","content":"c")"),
           says(R"("b","role":"assistant")"),
           chunk(R"("content":"b")", R"(,"usage":{"prompt_tokens":1})"),
           chunk(R"("content":"b")", R"(,"error":{"message":"no"})"),
           first + "}",
           first + " ",
           first.substr(0, first.size() - 1),
           std::string("[DONE]"),
           std::string(),
       }) {
    CAPTURE(other);
    CHECK_FALSE(known_after(first, other));
  }
}

TEST_CASE("what is more than a piece of an answer is not learned") {
  for (const std::string& special : {
           chunk(R"("role":"assistant","content":"a")"),
           chunk(R"("content":"")"),
           chunk(R"("content":"a")", R"(,"usage":{"prompt_tokens":1,"completion_tokens":1})"),
           chunk(R"("content":"a")", R"(,"error":{"message":"no"})"),
           chunk(R"("content":"a")", R"(,"type":"x")"),
           chunk(R"("tool_calls":[{"index":0}])"),
           std::string(R"({"choices":[{"index":0,"text":"a","finish_reason":"stop"}]})"),
           std::string(R"({"choices":[{"index":1,"text":"a"}]})"),
           std::string(R"({"choices":[{"index":0,"text":"a"},{"index":1,"text":"a"}]})"),
           std::string(R"([{"choices":[{"index":0,"text":"a"}]}])"),
           std::string(R"({"choices":[{"index":0,"text":"a"}],"id":"behind"})"),
           std::string(R"({"choices":[{"delta":{"content":"a"},"text":""}]})"),
           std::string("3"),
       }) {
    CAPTURE(special);
    CHECK_FALSE(known_after(special, special));
  }
}

TEST_CASE("a large event is neither kept nor known") {
  const std::size_t room = bounds::kEventPatternBytes - says(R"("a")").size();
  const std::string largest = chunk(R"("content":"a")", std::string(room, ' '));
  const std::string large = chunk(R"("content":"a")", std::string(room + 1, ' '));
  CHECK(known_after(largest, largest));
  CHECK_FALSE(known_after(large, large));
  EventPattern pattern;
  pattern.learn(large, *read_event(large));
  CHECK(pattern.memory() < 64);
}

TEST_CASE("an event that is not ordinary makes the pattern forgotten") {
  const std::string first = says(R"("a")");
  const std::string stop = R"({"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]})";
  EventPattern pattern;
  pattern.learn(first, *read_event(first));
  REQUIRE(pattern.match(first));
  pattern.learn(stop, *read_event(stop));
  CHECK_FALSE(pattern.match(first));
}

TEST_CASE("whatever happens to an event, what is known of it is what reading it says") {
  const std::vector<std::string> events{
      says(R"("some \"text\"")"),
      chunk(R"("content":"some text")", R"(,"obfuscation":"abc")"),
      chunk(R"("content":null,"reasoning":"so")"),
      R"({"choices":[{"text":"a","index":0}],"obfuscation":"abc"})",
  };
  constexpr std::string_view kBytes = "\"\\{}[]:,a0 \t\x80\xC3\xBC\xFFnu";
  std::mt19937 random(1);
  std::size_t known = 0;
  for (int round = 0; round < 40'000; ++round) {
    const std::string& first = events[random() % events.size()];
    std::string next = first;
    for (std::size_t edits = 1 + random() % 3; edits > 0; --edits) {
      const std::size_t at = random() % next.size();
      const std::string byte(1, kBytes[random() % kBytes.size()]);
      next.replace(at, random() % 2, byte);
    }
    known += known_after(first, next) ? 1 : 0;
  }
  CHECK(known > 100);
}

}  // namespace
}  // namespace spillway
