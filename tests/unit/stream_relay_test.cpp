#include "core/stream_relay.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <nlohmann/json.hpp>
#include <random>

#include "core/bounds.hpp"

namespace spillway {
namespace {

using namespace std::string_literals;

const std::string kRole =
    R"(data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""},)"
    R"("finish_reason":null}]})"
    "\n\n";
const std::string kDone = "data: [DONE]\n\n";
const std::string kMark = ": spillway dropped a malformed event\n\n";

std::string event(std::string_view json) {
  return "data: " + std::string(json) + "\n\n";
}

std::string text(std::string_view content, int index = 0) {
  return event(R"({"choices":[{"index":)" + std::to_string(index) + R"(,"delta":{"content":")" +
               std::string(content) + R"("},"finish_reason":null}]})");
}

std::string stop(int index = 0) {
  return event(R"({"choices":[{"index":)" + std::to_string(index) +
               R"(,"delta":{},"finish_reason":"stop"}]})");
}

// A relay with what it put out, collected as a driver would.
class Relayed {
 public:
  explicit Relayed(StreamDialect dialect = StreamDialect::chat) : relay_(dialect) {}

  Relayed& feed(std::string_view bytes) {
    const std::string buffer(bytes);  // gone after the output was taken, like a read buffer
    relay_.feed(buffer);
    collect();
    return *this;
  }
  Relayed& finish() {
    relay_.finish();
    collect();
    return *this;
  }
  StreamRelay& operator*() { return relay_; }
  StreamRelay* operator->() { return &relay_; }
  const std::string& output() const { return output_; }

  std::string violation() const {
    const auto* found = std::get_if<ProtocolViolation>(&relay_.failure());
    return found == nullptr ? "" : found->detail;
  }
  std::string error() const {
    const auto* found = std::get_if<InBandError>(&relay_.failure());
    return found == nullptr ? "" : std::string(found->body);
  }

 private:
  void collect() {
    for (const std::string_view piece : relay_.output()) output_.append(piece);
    relay_.clear_output();
  }

  StreamRelay relay_;
  std::string output_;
};

TEST_CASE("what an event says does not depend on the one before") {
  const std::string error =
      R"({"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}],)"
      R"("error":{"message":"broken"}})";
  Relayed relayed;
  relayed.feed(kRole).feed(text("a")).feed(text("b"));
  SECTION("text") {
    relayed.feed(text("c")).feed(stop()).feed(kDone);
    CHECK(relayed->state() == StreamState::complete);
    CHECK(relayed.output() == kRole + text("a") + text("b") + text("c") + stop() + kDone);
  }
  SECTION("an error") {
    relayed.feed(event(error));
    CHECK(relayed->state() == StreamState::failed);
    CHECK(std::holds_alternative<InBandError>(relayed->failure()));
  }
  SECTION("an end, without which it is not complete") {
    SECTION("that is missing") {
      relayed.feed(text("stop")).finish();
    }
    SECTION("of another choice") {
      relayed.feed(text("c", 1)).feed(stop(1)).finish();
    }
    CHECK(relayed->state() == StreamState::failed);
    CHECK(relayed.violation() == "the stream ended without a finish reason and without [DONE]");
  }
  SECTION("usage") {
    const std::string usage = event(R"({"choices":[],"usage":{"prompt_tokens":3,)"
                                    R"("completion_tokens":2}})");
    relayed.feed(usage).feed(text("c"));
    CHECK(relayed->usage().known);
    CHECK(relayed->usage().prompt == 3);
  }
  SECTION("junk") {
    relayed.feed(event(R"({"choices":[{"index":0,"delta":{"content":"c},"finish_reason":null}]})"));
    CHECK(relayed->dropped_events() == 1);
    relayed.feed(text("d"));
    CHECK(relayed.output() == kRole + text("a") + text("b") + kMark + text("d"));
  }
}

TEST_CASE("A chat stream is held until its first text, then relayed byte for byte") {
  Relayed relay;
  relay.feed(": hi\n\n" + kRole);
  CHECK(relay->state() == StreamState::holding);
  CHECK(relay.output().empty());
  relay.feed(text("a"));
  CHECK(relay->state() == StreamState::relaying);
  relay.feed(": comment\n\n" + text("b") + stop() + kDone);
  CHECK(relay->state() == StreamState::complete);
  CHECK(relay.output() ==
        ": hi\n\n" + kRole + text("a") + ": comment\n\n" + text("b") + stop() + kDone);
  CHECK(relay->events() == 5);
  CHECK(relay->dropped_events() == 0);
}

TEST_CASE("Output that is kept does not lie where it was fed from") {
  StreamRelay relay(StreamDialect::chat);
  std::string buffer = kRole + text("Hel") + text("lo");
  const std::string expected = buffer;
  relay.feed(buffer);
  relay.keep_output();
  buffer.assign(buffer.size(), 'x');
  std::string output;
  for (const std::string_view piece : relay.output()) output.append(piece);
  CHECK(output == expected);
}

TEST_CASE("What says nothing yet is held") {
  const std::string held = GENERATE(
      kRole, R"({"choices":[],"prompt_filter_results":[]})"s,
      R"({"choices":[{"delta":{"role":"assistant"}}]})"s,
      R"({"choices":[{"delta":{"role":"assistant","content":null,)"
      R"("tool_calls":[],"refusal":null}}]})"s,
      R"({"choices":[{"delta":{"content":""},"finish_reason":""}]})"s, R"({"id":"x"})"s, "{}"s,
      R"({"choices":[{"text":"","finish_reason":null}],"error":null})"s, R"({"error":""})"s);
  Relayed relay;
  relay.feed(held.starts_with("data") ? held : event(held));
  CHECK(relay->state() == StreamState::holding);
}

TEST_CASE("Any member of a delta but the role is content") {
  const std::string content =
      GENERATE(R"({"choices":[{"delta":{"content":"a"}}]})"s,
               R"({"choices":[{"delta":{"reasoning_content":"hm"}}]})"s,
               R"({"choices":[{"delta":{"role":"assistant","tool_calls":[{"index":0}]}}]})"s,
               R"({"choices":[{"delta":{"refusal":"no"}}]})"s,
               R"({"choices":[{"delta":{},"finish_reason":"length"}]})"s,
               R"({"cho\u0069ces":[{"d\u0065lta":{"content":"a"}}]})"s,
               R"({"choices":[{"index":1,"text":"a"}]})"s,
               R"({"choices":[{"delta":{}},{"delta":{"content":"a"}}]})"s);
  Relayed relay;
  relay.feed(event(content));
  CHECK(relay->state() == StreamState::relaying);
  CHECK(relay.output() == event(content));
}

TEST_CASE("A forgotten [DONE] is supplied after a finish reason") {
  Relayed relay;
  relay.feed(text("a") + stop()).finish();
  CHECK(relay->state() == StreamState::complete);
  CHECK(relay.output() == text("a") + stop() + kDone);
}

TEST_CASE("One choice's finish reason does not speak for another") {
  Relayed cut;
  cut.feed(text("a", 0) + text("b", 1) + stop(0)).finish();
  CHECK(cut->state() == StreamState::failed);
  Relayed whole;
  whole.feed(text("a", 0) + text("b", 1) + stop(0) + stop(1)).finish();
  CHECK(whole->state() == StreamState::complete);
}

TEST_CASE("An end without finish reason and without [DONE] is a failure") {
  Relayed relay;
  relay.feed(text("a")).finish();
  CHECK(relay->state() == StreamState::failed);
  CHECK(relay.output() == text("a"));
  CHECK(relay.violation().find("[DONE]") != std::string::npos);
}

TEST_CASE("An end before the first content is a failure") {
  const std::string stream = GENERATE(""s, kRole, ": hi\n\n"s, kRole + kDone, kDone);
  Relayed relay;
  relay.feed(stream).finish();
  CHECK(relay->state() == StreamState::failed);
  CHECK(relay.output().empty());
  CHECK(relay.violation().find("first token") != std::string::npos);
}

TEST_CASE("A cut inside an event is a failure, even after a finish reason") {
  const std::string piece = GENERATE("data: {\"cho"s, "data: {}"s, "data: {}\n"s, "data: [DON"s,
                                     ": com"s, "data: {}\ndata: [DONE]\n"s);
  Relayed relay;
  relay.feed(text("a") + stop() + piece).finish();
  CHECK(relay->state() == StreamState::failed);
  CHECK(relay.output() == text("a") + stop());
}

TEST_CASE("[DONE] counts without its blank line, and is put out with it") {
  const std::string done =
      GENERATE("data: [DONE]"s, "data:[DONE]\n"s, "data: [DONE]\r\n"s, "data: [DONE] \r\n\r"s);
  Relayed relay;
  relay.feed(text("a") + done).finish();
  CHECK(relay->state() == StreamState::complete);
  CHECK(relay.output().starts_with(text("a") + "data: [DONE]"));
  CHECK((relay.output().ends_with("\n\n") || relay.output().ends_with("\n\r")));
}

TEST_CASE("What follows the end is dropped") {
  Relayed relay;
  relay.feed(text("a") + kDone + text("b")).feed(text("c")).finish();
  CHECK(relay->state() == StreamState::complete);
  CHECK(relay.output() == text("a") + kDone);
}

TEST_CASE(
    "An error event before content is an error to classify, with nothing "
    "put out") {
  const std::string json = GENERATE(
      R"({"error":{"message":"slow down","code":429}})"s, R"({"error":"boom"})"s,
      R"({"object":"error","message":"x","code":400})"s,
      R"({"type":"error","error":{"type":"overloaded_error"}})"s, R"([{"error":{"code":429}}])"s,
      R"({"code":500,"message":"x"})"s,
      R"({"choices":[{"delta":{"content":""},"finish_reason":"error"}],"error":{"code":502}})"s);
  Relayed relay;
  relay.feed(kRole + event(json));
  CHECK(relay->state() == StreamState::failed);
  CHECK(relay.error() == json);
  CHECK(relay.output().empty());
}

TEST_CASE("An error named by its event type is an error, JSON or not") {
  Relayed relay;
  relay.feed("event: error\ndata: {\"detail\":1}\n\n");
  CHECK(relay.error() == "{\"detail\":1}");
  Relayed plain;
  plain.feed("event: error\ndata: over\"loaded\n\n");
  CHECK(plain.error() == R"({"error":{"message":"over\"loaded"}})");
}

TEST_CASE("An error after content fails the stream and is not relayed") {
  Relayed relay;
  relay.feed(text("a") + event(R"({"error":{"message":"x"}})") + text("b"));
  CHECK(relay->state() == StreamState::failed);
  CHECK(relay.output() == text("a"));
  CHECK_FALSE(relay.error().empty());
  CHECK_FALSE(relay->terminal_relayed());
}

TEST_CASE("A plain JSON error in place of a stream is an error") {
  Relayed relay;
  relay.feed("{\"error\":{\"code\":429}}\n").finish();
  CHECK(relay->state() == StreamState::failed);
  CHECK(relay.error() == "{\"error\":{\"code\":429}}\n");
}

TEST_CASE(
    "An event that is not JSON is dropped, marked and counted, before "
    "content and after") {
  const std::string bad =
      GENERATE("data: {\"choices\":[\n\n"s, "data:\n\n"s, "data: hello\n\n"s, "data: \"\xFF\"\n\n"s,
               "data: {\"a\":\"\0\"}\n\n"s, "data: {}{}\n\n"s);
  Relayed relay;
  relay.feed(bad);
  CHECK(relay->state() == StreamState::holding);
  relay.feed(text("a") + bad + text("b") + kDone);
  CHECK(relay->state() == StreamState::complete);
  CHECK(relay.output() == kMark + text("a") + kMark + text("b") + kDone);
  CHECK(relay->dropped_events() == 2);
}

TEST_CASE("A malformed event leaves no trace in what is known") {
  Relayed relay;
  relay
      .feed(text("a") +
            event(R"({"usage":{"prompt_tokens":1},"choices":[{"finish_reason":"stop"}]}x)"))
      .finish();
  CHECK(relay->state() == StreamState::failed);
  CHECK_FALSE(relay->usage().known);
}

TEST_CASE("Usage is read from any chunk, and null usage is no usage") {
  Relayed relay;
  relay.feed(text("a") + event(R"({"choices":[],"usage":null})"));
  CHECK_FALSE(relay->usage().known);
  relay.feed(event(R"({"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":9,)"
                   R"("details":{"prompt_tokens":1}}})"));
  CHECK(relay->usage().known);
  CHECK(relay->usage().prompt == 7);
  CHECK(relay->usage().completion == 9);
}

TEST_CASE(
    "A count of tokens beyond belief is the most that is believed, so "
    "that sums do not wrap") {
  const std::string count = GENERATE("18446744073709551615"s, "99999999999999999999999"s);
  Relayed relay;
  relay.feed(text("a") + event(R"({"choices":[],"usage":{"prompt_tokens":)" + count +
                               R"(,"completion_tokens":)" + count + "}}"));
  CHECK(relay->usage().known);
  CHECK(relay->usage().prompt == bounds::kUsageTokens);
  CHECK(relay->usage().completion == bounds::kUsageTokens);
}

std::string response(std::string_view type, std::string_view more = "") {
  return "event: " + std::string(type) + "\ndata: {\"type\":\"" + std::string(type) + "\"" +
         std::string(more) + "}\n\n";
}

TEST_CASE(
    "A responses stream is held until its first delta and ends with its "
    "terminal event") {
  const std::string end = GENERATE("response.completed"s, "response.incomplete"s);
  const std::string prelude = response("response.created") + response("response.queued") +
                              response("response.in_progress") +
                              response("response.output_item.added") +
                              response("response.content_part.added");
  Relayed relay(StreamDialect::responses);
  relay.feed(prelude);
  CHECK(relay->state() == StreamState::holding);
  relay.feed(response("response.output_text.delta", R"(,"delta":"a")"));
  CHECK(relay->state() == StreamState::relaying);
  relay.feed(
      response(end, R"(,"response":{"error":null,"usage":{"input_tokens":3,"output_tokens":4}})"));
  CHECK(relay->state() == StreamState::complete);
  CHECK(relay->usage().prompt == 3);
  CHECK(relay->usage().completion == 4);
  CHECK(relay.output().starts_with(prelude));
}

TEST_CASE("A response that completes at once is complete") {
  Relayed relay(StreamDialect::responses);
  relay.feed(response("response.created") + response("response.completed"));
  CHECK(relay->state() == StreamState::complete);
  CHECK(relay.output() == response("response.created") + response("response.completed"));
}

TEST_CASE("The event field names a responses event whose data does not") {
  Relayed relay(StreamDialect::responses);
  relay.feed("event: response.created\ndata: {}\n\n");
  CHECK(relay->state() == StreamState::holding);
  relay.feed("event: response.completed\ndata: {}\n\n");
  CHECK(relay->state() == StreamState::complete);
}

TEST_CASE("A response that fails before content is an error to classify") {
  const std::string failed =
      GENERATE(response("response.failed", R"(,"response":{"error":{"code":"server_error"}})"),
               response("error", R"(,"code":"rate_limit_exceeded","message":"x")"));
  Relayed relay(StreamDialect::responses);
  relay.feed(response("response.created") + failed);
  CHECK(relay->state() == StreamState::failed);
  CHECK_FALSE(relay.error().empty());
  CHECK(relay.output().empty());
  CHECK_FALSE(relay->terminal_relayed());
}

TEST_CASE(
    "A response that fails after content is relayed to its end and is a "
    "failure") {
  const std::string delta = response("response.output_text.delta");
  const std::string failed =
      response("response.failed", R"(,"response":{"error":{"code":"server_error"}})");
  Relayed relay(StreamDialect::responses);
  relay.feed(delta + failed + delta);
  CHECK(relay->state() == StreamState::failed);
  CHECK(relay.output() == delta + failed);
  CHECK(relay->terminal_relayed());
  CHECK(relay.error().find("server_error") != std::string::npos);
}

TEST_CASE("A responses stream without its terminal event is a failure") {
  const std::string end = GENERATE(""s, kDone);
  Relayed relay(StreamDialect::responses);
  relay.feed(response("response.output_text.delta") + end).finish();
  CHECK(relay->state() == StreamState::failed);
  CHECK(relay.violation().find("terminal event") != std::string::npos);
}

TEST_CASE("Where only the framing ends a stream, every event is content") {
  Relayed relay(StreamDialect::framing);
  relay.feed(": hi\n\n");
  CHECK(relay->state() == StreamState::holding);
  relay.feed(event(R"({"type":"image_generation.partial_image"})") + kDone).finish();
  CHECK(relay->state() == StreamState::complete);
  CHECK(relay.output() ==
        ": hi\n\n" + event(R"({"type":"image_generation.partial_image"})") + kDone);
}

TEST_CASE("A framed stream of nothing is a failure, and so is an error in it") {
  Relayed empty(StreamDialect::framing);
  empty.finish();
  CHECK(empty->state() == StreamState::failed);
  Relayed error(StreamDialect::framing);
  error.feed(event(R"({"type":"error","error":{"message":"x"}})"));
  CHECK(error->state() == StreamState::failed);
}

TEST_CASE("An event at the judged limit is judged, one above it passes unjudged") {
  const std::string frame = event("");
  const std::string at_limit =
      "data: " + std::string(bounds::kEventBytes - frame.size(), 'x') + "\n\n";
  REQUIRE(at_limit.size() == bounds::kEventBytes);
  Relayed judged;
  judged.feed(at_limit);
  CHECK(judged->dropped_events() == 1);
  Relayed passed;
  passed.feed("data: x" + at_limit.substr(6));
  CHECK(passed->dropped_events() == 0);
  CHECK(passed->state() == StreamState::relaying);
  CHECK(passed.output() == "data: x" + at_limit.substr(6));
  CHECK(passed->events() == 1);
}

TEST_CASE("An oversized event is passed on as it comes, in bounded memory") {
  const std::string piece(bounds::kEventBytes / 2, 'x');
  Relayed relay;
  relay.feed(kRole + "data: ");
  for (int i = 0; i < 8; ++i) {
    relay.feed(piece);
    CHECK(relay->memory() < 4 * bounds::kEventBytes);
    CHECK(relay->at_boundary() == (i < 1));
  }
  CHECK(relay->state() == StreamState::relaying);
  relay.feed("\n\n" + text("a") + kDone);
  CHECK(relay->at_boundary());
  CHECK(relay->state() == StreamState::complete);
  CHECK(relay->events() == 4);
  CHECK(relay.output().starts_with(kRole + "data: xxx"));
  CHECK(relay.output().ends_with("x\n\n" + text("a") + kDone));
}

TEST_CASE("A stream that ends inside an oversized event is cut") {
  Relayed relay;
  relay.feed("data: " + std::string(bounds::kEventBytes, 'x')).finish();
  CHECK(relay->state() == StreamState::failed);
  CHECK_FALSE(relay->at_boundary());
}

TEST_CASE("An event above the largest size fails the stream") {
  const std::string megabyte(1024 * 1024, 'x');
  Relayed relay;
  for (int i = 0; i < 32; ++i) relay.feed(megabyte);
  CHECK(relay->state() == StreamState::relaying);
  relay.feed("x");
  CHECK(relay->state() == StreamState::failed);
  CHECK(relay.output().size() == bounds::kEventBytesUnjudged);
  CHECK_FALSE(relay->at_boundary());
}

TEST_CASE("Holding is bounded: what is too much is relayed") {
  Relayed relay;
  std::string fed;
  while (fed.size() + kRole.size() <= bounds::kHeldStreamBytes) {
    relay.feed(kRole);
    fed += kRole;
  }
  CHECK(relay->state() == StreamState::holding);
  relay.feed(kRole);
  CHECK(relay->state() == StreamState::relaying);
  CHECK(relay.output() == fed + kRole);
}

TEST_CASE("Holding does not keep what was already judged twice") {
  StreamRelay relay(StreamDialect::chat);
  for (int i = 0; i < 200; ++i) {
    relay.feed(kRole.substr(0, 10));
    relay.feed(kRole.substr(10));
  }
  CHECK(relay.memory() < 3 * bounds::kHeldStreamBytes);
}

// --- property: the cuts between reads do not matter
// -----------------------------------------------

std::string random_stream(std::mt19937& random, StreamDialect dialect) {
  std::vector<std::string> bits{kRole,
                                text("a"),
                                text("caf\xC3\xA9 \\ud83d"),
                                stop(),
                                text("b", 1),
                                ": comment\n\n",
                                "\n",
                                "data: junk\n\n",
                                "id: 3\ndata: {\"choices\":\ndata: []}\n\n",
                                event(R"({"choices":[],"usage":{"prompt_tokens":1}})"),
                                response("response.created"),
                                response("response.output_text.delta")};
  const std::vector<std::string> rare{kDone,
                                      event(R"({"error":{"message":"x"}})"),
                                      response("response.completed"),
                                      response("response.failed"),
                                      "data: {\"cut",
                                      "\r",
                                      "\n\r",
                                      "data: " + std::string(bounds::kEventBytes, 'x') + "\n\n"};
  std::string stream = random() % 8 == 0 ? "\xEF\xBB\xBF" : "";
  for (unsigned i = 0; i < 2 + random() % 12; ++i) {
    const auto& from = random() % 8 == 0 ? rare : bits;
    stream += from[random() % from.size()];
  }
  if (random() % 2 == 0)
    stream += dialect == StreamDialect::responses ? response("response.completed") : kDone;
  // Other line ends, all or some.
  const unsigned ends = random() % 5;
  std::string result;
  for (const char c : stream) {
    const unsigned as = ends < 3 ? ends : random() % 3;
    if (c != '\n' || as == 0) result += c;
    if (c == '\n' && as == 1) result += "\r\n";
    if (c == '\n' && as == 2) result += "\r";
  }
  return result;
}

TEST_CASE("However a stream is cut, output, state and counters are the same") {
  const auto seed = GENERATE(range(1u, 1500u));
  CAPTURE(seed);
  std::mt19937 random(seed);
  const auto dialect = static_cast<StreamDialect>(random() % 4);
  const std::string stream = random_stream(random, dialect);

  Relayed whole(dialect), split(dialect);
  whole.feed(stream).finish();
  const std::size_t most = stream.size() > 5000 ? 9000 : 1 + random() % 40;
  for (std::size_t at = 0; at < stream.size();) {
    const std::size_t size = 1 + random() % most;
    split.feed(std::string_view(stream).substr(at, size));
    CHECK(split->memory() < 6 * bounds::kEventBytes);
    at += size;
  }
  split.finish();

  CHECK(split->state() == whole->state());
  CHECK(split.output() == whole.output());
  CHECK(split->events() == whole->events());
  CHECK(split->dropped_events() == whole->dropped_events());
  CHECK(split->usage().known == whole->usage().known);
  CHECK(split->at_boundary() == whole->at_boundary());
  if (whole->state() == StreamState::failed) {
    CHECK(split.error() == whole.error());
    CHECK(split.violation() == whole.violation());
  }
  // Nothing is invented but marks and a forgotten [DONE], nothing is lost but what was dropped or
  // came too late.
  std::string relayed = whole.output();
  if (whole->dropped_events() == 0 && !relayed.empty()) {
    if (relayed.ends_with(kDone) && !stream.ends_with(relayed)) {
      if (!stream.starts_with(relayed)) relayed.resize(relayed.size() - kDone.size());
    }
    CHECK(stream.starts_with(relayed));
  }
}

// --- plain answers -------------------------------------------------------------------------------

TEST_CASE("A plain answer is what was asked for, or else says what it is") {
  CHECK_FALSE(judge_plain_answer(Endpoint::chat_completions, "application/json",
                                 R"({"choices":[],"error":null})")
                  .fault);
  CHECK_FALSE(judge_plain_answer(Endpoint::embeddings, "text/plain", R"( {"data":[]} )").fault);
  CHECK_FALSE(
      judge_plain_answer(Endpoint::responses, "", R"({"id":"r","status":"completed","error":null})")
          .fault);
  CHECK_FALSE(judge_plain_answer(Endpoint::audio_speech, "audio/mpeg", "\xFF\xFB\x90").fault);
  CHECK_FALSE(judge_plain_answer(Endpoint::audio_speech, "audio/mpeg", "{not json").fault);
}

TEST_CASE("An error inside a plain 200 is an error") {
  const std::string body =
      GENERATE(R"({"error":{"code":429}})"s, R"({"error":"x","choices":[]})"s,
               R"([{"error":{"code":429}}])"s, R"({"object":"error","message":"x"})"s,
               R"({"type":"error","error":{}})"s, R"({"code":500,"message":"x"})"s);
  for (const Endpoint endpoint :
       {Endpoint::chat_completions, Endpoint::embeddings, Endpoint::audio_speech}) {
    const auto outcome = judge_plain_answer(endpoint, "application/json", body).fault;
    REQUIRE(outcome);
    REQUIRE(std::holds_alternative<InBandError>(*outcome));
    CHECK(std::get<InBandError>(*outcome).body == body);
  }
}

struct Wrong {
  Endpoint endpoint;
  std::string type, body;
};

TEST_CASE("A 200 that is not what was asked for is a protocol violation") {
  const auto [endpoint, type, body] =
      GENERATE(Wrong{Endpoint::chat_completions, "application/json", ""},
               Wrong{Endpoint::audio_speech, "audio/mpeg", ""},
               Wrong{Endpoint::chat_completions, "application/json", "  "},
               Wrong{Endpoint::chat_completions, "text/html", "<html>"},
               Wrong{Endpoint::chat_completions, "application/json", "{\"choices\":["},
               Wrong{Endpoint::chat_completions, "application/json", "[]"},
               Wrong{Endpoint::chat_completions, "application/json", "\"ok\""},
               Wrong{Endpoint::chat_completions, "application/json", R"({"detail":"Not Found"})"},
               Wrong{Endpoint::completions, "application/json", R"({"choices":null})"},
               Wrong{Endpoint::embeddings, "application/json", "null"},
               Wrong{Endpoint::audio_speech, "application/json", R"({"ok":true})"},
               Wrong{Endpoint::audio_speech, "text/html; charset=utf-8", "<html>"});
  CAPTURE(body);
  const auto outcome = judge_plain_answer(endpoint, type, body).fault;
  REQUIRE(outcome);
  CHECK(std::holds_alternative<ProtocolViolation>(*outcome));
}

TokenUsage plain_usage(std::string_view body) {
  return judge_plain_answer(Endpoint::chat_completions, "application/json", body).usage;
}

TEST_CASE(
    "A plain answer's usage is read in both spellings, and missing usage "
    "stays missing") {
  const TokenUsage chat =
      plain_usage(R"({"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":6}})");
  CHECK(chat.known);
  CHECK(chat.prompt == 5);
  CHECK(chat.completion == 6);
  CHECK(plain_usage(R"({"usage":{"input_tokens":5,"output_tokens":6}})").completion == 6);
  CHECK_FALSE(plain_usage(R"({"usage":null})").known);
  CHECK_FALSE(plain_usage(R"({"usage":{"prompt_tokens":-1}})").known);
  CHECK_FALSE(plain_usage("not json").known);
}

TEST_CASE("The error event carries the error body, named for responses") {
  Failure failure;
  failure.message = "gone";
  const std::string chat = error_event(StreamDialect::chat, failure);
  REQUIRE(chat.starts_with("data: {"));
  REQUIRE(chat.ends_with("}\n\n"));
  const auto body = nlohmann::json::parse(chat.substr(6));
  CHECK(body["error"]["message"] == "gone");
  CHECK(error_event(StreamDialect::responses, failure) == "event: error\n" + chat);
}

}  // namespace
}  // namespace spillway
