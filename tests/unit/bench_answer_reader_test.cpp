// The benchmark's load generator must not take a cut or muddled answer for a whole one.

#include <catch2/catch_test_macros.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "tests/bench/answer_reader.hpp"

namespace spillway::bench {
namespace {

using State = AnswerReader::State;

const std::string kStream =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

std::string chunk(std::string_view data) {
  const char digits[] = "0123456789abcdef";
  return std::string{digits[data.size() / 16], digits[data.size() % 16]} + "\r\n" +
         std::string(data) + "\r\n";
}

// Takes the bytes one at a time; the state after the last.
State take_singly(AnswerReader& reader, const std::string& bytes,
                  std::vector<std::uint64_t>& events) {
  State state = State::reading;
  for (const char byte : bytes) {
    state = reader.take({&byte, 1});
    events.insert(events.end(), reader.events().begin(), reader.events().end());
  }
  return state;
}

TEST_CASE("The benchmark takes an answer with a length as whole with its last byte") {
  AnswerReader reader;
  CHECK(reader.take("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab") == State::reading);
  CHECK(reader.take("c") == State::complete);
  CHECK(reader.status() == 200);
}

TEST_CASE("The benchmark refuses an answer without a length, and bytes that nobody asked for") {
  AnswerReader reader;
  CHECK(reader.take("HTTP/1.1 200 OK\r\n\r\n") == State::broken);
  reader.reset();
  CHECK(reader.take("HTTP/1.1 503 No\r\ncontent-length: 1\r\n\r\nab") == State::broken);
  CHECK(reader.status() == 503);
}

TEST_CASE("The benchmark counts events however they are cut, and knows when each was sent") {
  const std::string mark = "\"content\":\"00000000000000000042\"";
  const std::string event = "data: {" + mark + "}\n\n";
  const std::string bytes = kStream + chunk(event.substr(0, 20)) + chunk(event.substr(20) + event) +
                            chunk("data: [DONE]\n\n") + "0\r\n\r\n";
  AnswerReader reader;
  std::vector<std::uint64_t> events;
  CHECK(take_singly(reader, bytes, events) == State::complete);
  CHECK(events == std::vector<std::uint64_t>{42, 42});
  CHECK(reader.done());
}

TEST_CASE("The benchmark does not take a stream as whole that lacks its end") {
  AnswerReader reader;
  CHECK(reader.take(kStream + chunk("data: {}\n\n")) == State::reading);
  CHECK(reader.events().size() == 1);
  CHECK_FALSE(reader.done());
  CHECK(reader.take("zz\r\n") == State::broken);
}

}  // namespace
}  // namespace spillway::bench
