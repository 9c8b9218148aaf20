#include "core/stream_transcript.hpp"

#include <fmt/format.h>

#include <catch2/catch_test_macros.hpp>
#include <random>
#include <vector>

#include "core/body.hpp"
#include "core/bounds.hpp"
#include "core/stream_relay.hpp"

namespace spillway {
namespace {

std::string chunk(std::string_view id, std::string_view delta, std::string_view more = "") {
  return fmt::format(
      R"(data: {{"id":"{}","object":"chat.completion.chunk","model":"m","choices":[{{"index":0,)"
      R"("delta":{}{}}}]}})"
      "\n\n",
      id, delta, more);
}

std::string says(std::string_view id, std::string_view text) {
  return chunk(id, fmt::format(R"({{"content":{}}})", quote(text)));
}

std::string role(std::string_view id) {
  return chunk(id, R"({"role":"assistant","content":""})");
}

std::string stop(std::string_view id) {
  return chunk(id, "{}", R"(,"finish_reason":"stop")");
}

constexpr std::string_view kDone = "data: [DONE]\n\n";

// One call's stream through a relay; what the client is sent is added to `client`.
StreamRelay& feed(StreamRelay& relay, std::string_view bytes, std::string& client) {
  relay.feed(bytes);
  for (const std::string_view piece : relay.output()) client.append(piece);
  relay.clear_output();
  return relay;
}

struct Leg {
  explicit Leg(StreamTranscript& transcript, Resume resume = Resume::no) : transcript_(transcript) {
    transcript.begin_leg(resume);
  }
  StreamState operator()(std::string_view bytes, std::string& client) {
    return feed(relay, bytes, client).state();
  }
  StreamTranscript& transcript_;
  StreamRelay relay{StreamDialect::chat, &transcript_};
};

// The text of a client's stream and the ids its chunks carried, as an SDK would gather them.
struct Gathered {
  std::string text;
  std::vector<std::string> ids;
  bool done = false;
};

Gathered gather(std::string_view stream) {
  Gathered result;
  SseScanner scanner;
  while (const auto event = scanner.next(stream)) {
    stream.remove_prefix(event->bytes);
    if (is_stream_done(event->data)) {
      result.done = true;
      continue;
    }
    const auto facts = read_event(event->data);
    REQUIRE(facts);
    result.text += unescape(facts->text).value_or("");
    const std::string id = unescape(facts->id).value_or("");
    if (result.ids.empty() || result.ids.back() != id) result.ids.push_back(id);
  }
  CHECK(stream.empty());
  return result;
}

TEST_CASE("a second answer that repeats the first goes on where it broke, under one id") {
  StreamTranscript transcript;
  std::string client;
  Leg first(transcript);
  first(role("a") + says("a", "Hello ") + says("a", "wor"), client);
  REQUIRE(transcript.resumable());
  Leg second(transcript, Resume::afresh);
  const auto state = second(role("b") + says("b", "Hel") + says("b", "lo world") + says("b", "!") +
                                stop("b") + std::string(kDone),
                            client);
  CHECK(state == StreamState::complete);
  const Gathered seen = gather(client);
  CHECK(seen.text == "Hello world!");
  CHECK(seen.ids == std::vector<std::string>{"a"});
  CHECK(seen.done);
}

TEST_CASE("the first differing byte ends the attempt before anything of it is sent") {
  StreamTranscript transcript;
  std::string client;
  Leg first(transcript);
  first(says("a", "Hello wor"), client);
  const std::string before = client;
  Leg second(transcript, Resume::afresh);
  CHECK(second(says("b", "Hello ") + says("b", "World"), client) == StreamState::failed);
  CHECK(second.relay.diverged());
  CHECK(client == before);
}

TEST_CASE("an answer that ends before it has repeated what was sent diverges") {
  for (const std::string& end : {stop("b"), std::string(kDone)}) {
    StreamTranscript transcript;
    std::string client;
    Leg first(transcript);
    first(says("a", "Hello world"), client);
    const std::string before = client;
    Leg second(transcript, Resume::afresh);
    CHECK(second(says("b", "Hello") + end, client) == StreamState::failed);
    CHECK(second.relay.diverged());
    CHECK(client == before);
  }
}

TEST_CASE("a stream that broke between its last word and its finish gets only the finish") {
  StreamTranscript transcript;
  std::string client;
  Leg first(transcript);
  first(says("a", "All"), client);
  Leg second(transcript, Resume::afresh);
  const std::string last = chunk("b", R"({"content":"ll"})", R"(,"finish_reason":"stop")");
  CHECK(second(says("b", "A") + last + std::string(kDone), client) == StreamState::complete);
  CHECK(gather(client).text == "All");
  CHECK(client.find(R"("content":"")") != std::string::npos);
}

TEST_CASE("a deployment that continues a prefix says only what is new") {
  StreamTranscript transcript;
  std::string client;
  Leg first(transcript);
  first(says("a", "Once upon"), client);
  Leg second(transcript, Resume::prefix);
  CHECK(second(role("b") + says("b", " a time") + stop("b") + std::string(kDone), client) ==
        StreamState::complete);
  const Gathered seen = gather(client);
  CHECK(seen.text == "Once upon a time");
  CHECK(seen.ids == std::vector<std::string>{"a"});
}

// What a client that had `sent` gets of a leg that was to continue it, and the leg's state.
struct Continued {
  explicit Continued(std::string_view sent) {
    Leg first(transcript);
    first(says("a", sent), client);
    before = client;
    transcript.begin_leg(Resume::prefix);
  }
  StreamState say(std::string_view events) { return feed(relay, events, client).state(); }

  StreamTranscript transcript;
  std::string client, before;
  StreamRelay relay{StreamDialect::chat, &transcript};
};

TEST_CASE("a deployment that repeats the text it was to continue is not taken at its word") {
  for (const std::size_t size : {1, 2, 3, 30}) {
    CAPTURE(size);
    const std::string sent = std::string("Once upon a time").substr(0, size);
    Continued leg(sent);
    std::string events = role("b");
    for (const char c : std::string("Once upon a time there")) events += says("b", {&c, 1});
    CHECK(leg.say(events) == StreamState::failed);
    CHECK(leg.relay.diverged());
    CHECK_FALSE(leg.transcript.caught_up());
    CHECK(leg.client == leg.before);
    CHECK(leg.transcript.text() == sent);
  }
}

TEST_CASE("a deployment that ends before it has shown that it continues is not believed") {
  for (const std::string& end : {stop("b"), std::string(kDone), std::string()}) {
    CAPTURE(end);
    Continued leg("Once upon");
    leg.say(says("b", "On") + end);
    CHECK(leg.relay.finish() == StreamState::failed);
    CHECK(leg.relay.diverged());
    CHECK_FALSE(leg.transcript.caught_up());
    CHECK(leg.client == leg.before);
  }
}

TEST_CASE("a continuation that begins like its text and then differs is put out whole") {
  Continued leg("no, no, n");
  leg.say(says("b", "n"));
  CHECK(leg.client == leg.before);
  leg.say(says("b", "o") + says("b", "t now") + stop("b") + std::string(kDone));
  CHECK(gather(leg.client).text == "no, no, nnot now");
  CHECK(gather(leg.client).done);
}

TEST_CASE("a continuation that has nothing to add only finishes") {
  Continued leg("That is all.");
  CHECK(leg.say(role("b") + stop("b") + std::string(kDone)) == StreamState::complete);
  CHECK(gather(leg.client).text == "That is all.");
}

TEST_CASE("the role is told once, wherever a later leg's events repeat it") {
  const std::string deltas[] = {
      R"({"role":"assistant","content":"lo"})",
      R"({ "content":"lo" , "role" : "assistant" })",
      R"({"role":"assistant","content":"lo","refusal":null})",
      R"({"tool_calls":[],"r\u006fle":"assistant","content":"lo"})",
  };
  for (const std::string& delta : deltas) {
    CAPTURE(delta);
    StreamTranscript transcript;
    std::string client;
    Leg first(transcript);
    first(role("a") + says("a", "Hel"), client);
    const std::size_t before = client.size();
    Leg second(transcript, Resume::afresh);
    second(says("b", "Hel") + chunk("b", delta) + role("b") +
               chunk("b", R"({"role":"assistant"})", R"(,"finish_reason":"stop")"),
           client);
    const std::string later = client.substr(before);
    CHECK(later.find("assistant") == std::string::npos);
    CHECK(gather(client).text == "Hello");
    CHECK(second.relay.finish() == StreamState::complete);
  }
}

TEST_CASE("a character that a later leg sends in halves is sent on in halves") {
  StreamTranscript transcript;
  std::string client;
  Leg first(transcript);
  first(says("a", "Hi "), client);
  Leg second(transcript, Resume::afresh);
  second(says("b", "Hi ") + chunk("b", R"({"content":"\ud83e"})") +
             chunk("b", R"({"content":"\udd8a"})"),
         client);
  CHECK(client.find(R"("\ud83e")") != std::string::npos);
  CHECK(client.find(R"("\udd8a")") != std::string::npos);
  CHECK_FALSE(transcript.resumable());
}

TEST_CASE("a leg has begun once it repeats what was sent, though nothing of it is put out") {
  for (const Resume resume : {Resume::afresh, Resume::prefix}) {
    StreamTranscript transcript;
    std::string client;
    Leg first(transcript);
    first(says("a", "Hello"), client);
    Leg second(transcript, resume);
    second(role("b"), client);
    CHECK_FALSE(second.relay.begun());
    second(says("b", "H"), client);
    CHECK(second.relay.state() == StreamState::holding);
    CHECK(second.relay.begun());
  }
}

TEST_CASE("what is not plain text of one choice is not continued") {
  const std::string events[] = {
      chunk("a", R"({"tool_calls":[{"index":0,"id":"t","function":{"name":"f"}}]})"),
      chunk("a", R"({"content":"x","reasoning_content":"because"})"),
      chunk("a", R"({"content":"x"})", R"(,"logprobs":{"content":[]})"),
      "data: {\"id\":\"a\",\"choices\":[{\"index\":1,\"delta\":{\"content\":\"x\"}}]}\n\n",
      "data: {\"id\":\"a\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}},"
      "{\"index\":1,\"delta\":{\"content\":\"y\"}}]}\n\n",
      chunk("a", R"({"content":"\ud83d"})"),
      stop("a"),
      says("a", std::string(bounds::kResumableTextBytes + 1, 'x')),
  };
  for (const std::string& event : events) {
    CAPTURE(event.substr(0, 200));
    StreamTranscript transcript;
    std::string client;
    Leg first(transcript);
    first(says("a", "Hello") + event, client);
    CHECK_FALSE(transcript.resumable());
    CHECK(transcript.text().empty());
  }
}

TEST_CASE("what cannot be continued is not kept") {
  StreamTranscript transcript;
  Leg leg(transcript);
  std::string client;
  for (std::size_t sent = 0; sent <= bounds::kResumableTextBytes; sent += 1024)
    leg(says("a", std::string(1024, 'x')), client);
  CHECK_FALSE(transcript.resumable());
  CHECK(transcript.text().capacity() < 1024);
}

TEST_CASE("a tool call in the second answer diverges") {
  StreamTranscript transcript;
  std::string client;
  Leg first(transcript);
  first(says("a", "Hello"), client);
  Leg second(transcript, Resume::afresh);
  second(chunk("b", R"({"tool_calls":[{"index":0,"id":"t","function":{"name":"f"}}]})"), client);
  CHECK(second.relay.diverged());
}

TEST_CASE("an attempt that failed before its content leaves no trace in the next one") {
  StreamTranscript transcript;
  std::string client;
  Leg first(transcript);
  first(role("never-sent"), client);
  CHECK(client.empty());
  Leg again(transcript);
  again(role("a") + says("a", "Hi"), client);
  Leg second(transcript, Resume::afresh);
  second(says("b", "Hi there") + stop("b") + std::string(kDone), client);
  const Gathered seen = gather(client);
  CHECK(seen.text == "Hi there");
  CHECK(seen.ids == std::vector<std::string>{"a"});
}

TEST_CASE("everything else of a continuing event is as it came, over several data lines too") {
  StreamTranscript transcript;
  std::string client;
  Leg first(transcript);
  first(says("a", "1"), client);
  client.clear();
  Leg second(transcript, Resume::afresh);
  second(
      "data: {\"choices\": [{\"delta\" : {\"content\":\"1\\u0032\"}, \"index\":0}],\n"
      "data:  \"id\":\"b\", \"model\":\"other\",\"odd\":1.0e+2}\n\n",
      client);
  CHECK(client ==
        "data: {\"choices\": [{\"delta\" : {\"content\":\"2\"}, \"index\":0}],  "
        "\"id\":\"a\", \"model\":\"other\",\"odd\":1.0e+2}\n\n");
}

TEST_CASE("an event too large to be judged ends a continued stream") {
  StreamTranscript transcript;
  std::string client;
  Leg first(transcript);
  first(says("a", "Hello"), client);
  const std::string before = client;
  Leg second(transcript, Resume::afresh);
  second(says("b", "Hello" + std::string(bounds::kEventBytes, 'x')), client);
  CHECK(second.relay.diverged());
  CHECK(client == before);
}

// Cuts `text` into pieces at random character boundaries.
std::vector<std::string> pieces_of(const std::string& text, std::mt19937& random) {
  std::vector<std::string> pieces(1);
  for (const char c : text) {
    const bool boundary = (static_cast<unsigned char>(c) & 0xC0) != 0x80;
    if (boundary && random() % 4 == 0) pieces.emplace_back();
    pieces.back() += c;
  }
  return pieces;
}

TEST_CASE("however often and wherever a stream breaks, no character is lost or doubled") {
  const std::string answer = "The qu\u00EDck \"brown\"\n\U0001F98A jumps over \\ the d\u00F6g.";
  for (unsigned seed = 0; seed < 2000; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    StreamTranscript transcript;
    std::string client;
    bool done = false;
    bool repeated = false;
    for (unsigned number = 0; !done; ++number) {
      const std::string id = fmt::format("leg-{}", number);
      const bool first = client.empty();
      const bool prefix = !first && !repeated && random() % 2 == 0;
      const bool heedless = prefix && random() % 3 == 0;
      Leg leg(transcript, first ? Resume::no : prefix ? Resume::prefix : Resume::afresh);
      std::string bytes = role(id);
      const bool continues = prefix && !heedless;
      const std::string rest = continues ? answer.substr(transcript.text().size()) : answer;
      for (const std::string& piece : pieces_of(rest, random)) bytes += says(id, piece);
      bytes += stop(id) + std::string(kDone);
      const std::size_t cut = number < 6 ? random() % bytes.size() : bytes.size();
      std::size_t at = 0;
      while (at < cut) {
        const std::size_t size = std::min<std::size_t>(1 + random() % 60, cut - at);
        done = leg(std::string_view(bytes).substr(at, size), client) == StreamState::complete;
        at += size;
      }
      repeated = leg.relay.diverged();
      if (repeated) REQUIRE((heedless && !transcript.caught_up()));
      if (!done && !transcript.resumable()) break;  // cut behind the finish reason
    }
    const Gathered seen = gather(client);
    CHECK(seen.text == answer);
    CHECK(seen.ids.size() == 1);
  }
}

}  // namespace
}  // namespace spillway
