#include "core/sse.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <random>
#include <vector>

namespace spillway {
namespace {

struct Seen {
  std::string raw, data, type;
  bool has_data;
  bool operator==(const Seen&) const = default;
};

Seen copy(std::string_view raw, const SseEvent& event) {
  return {std::string(raw), std::string(event.data), std::string(event.type), event.has_data};
}

// All whole events of a stream that arrives in the given pieces; `rest` is what is left.
std::vector<Seen> scan(const std::vector<std::string>& pieces, std::string* rest = nullptr) {
  SseScanner scanner;
  std::vector<Seen> seen;
  std::string pending;
  for (const std::string& piece : pieces) {
    pending += piece;
    while (const std::optional<SseEvent> event = scanner.next(pending)) {
      seen.push_back(copy(pending.substr(0, event->bytes), *event));
      pending.erase(0, event->bytes);
    }
  }
  if (rest != nullptr) *rest = pending;
  return seen;
}

struct Example {
  std::string stream, data, type;
};

TEST_CASE("An event is read as the WHATWG rules say") {
  const auto [stream, data, type] = GENERATE(
      Example{"data: a\n\n", "a", ""}, Example{"data:a\n\n", "a", ""},
      Example{"data:  a \n\n", " a ", ""}, Example{"data: a\r\n\r\n", "a", ""},
      Example{"data: a\r\r", "a", ""}, Example{"data: a\r\n\n", "a", ""},
      Example{"data: a\n\r\n", "a", ""},
      Example{"\xEF\xBB\xBF"
              "data: a\n\n",
              "a", ""},
      Example{": hello\nid: 7\nretry: 3\nunknown\nevent: error\ndata: a\n\n", "a", "error"},
      Example{"event: x\nevent: y\ndata: a\n\n", "a", "y"},
      Example{"data: a\ndata\ndata: b\n\n", "a\n\nb", ""}, Example{"data\n\n", "", ""},
      Example{"data:\n\n", "", ""}, Example{"data: a:b\n\n", "a:b", ""},
      Example{"DATA: x\ndata : y\ndata: a\n\n", "a", ""},
      Example{"data: caf\xC3\xA9 \xFF\n\n", "caf\xC3\xA9 \xFF", ""});
  CAPTURE(stream);
  const std::vector<Seen> seen = scan({stream});
  REQUIRE(seen.size() == 1);
  CHECK(seen[0].raw == stream);
  CHECK(seen[0].has_data);
  CHECK(seen[0].data == data);
  CHECK(seen[0].type == type);
}

TEST_CASE("Comments, ids and blank lines are events without data") {
  for (const char* stream : {": hi\n\n", "id: 1\n\n", "\n", "\r\n", "\xEF\xBB\xBF: hi\n\n"}) {
    CAPTURE(stream);
    const std::vector<Seen> seen = scan({stream});
    REQUIRE(seen.size() == 1);
    CHECK_FALSE(seen[0].has_data);
  }
}

TEST_CASE("A byte order mark is ignored at the stream's start only") {
  const std::vector<Seen> seen =
      scan({"data: a\n\n\xEF\xBB\xBF"
            "data: b\n\n"});
  REQUIRE(seen.size() == 2);
  CHECK_FALSE(seen[1].has_data);
}

TEST_CASE("An event without its blank line is not whole") {
  for (const char* stream :
       {"data: a", "data: a\n", "data: a\r", "data: a\r\n", "data: a\ndata: b\n", "\xEF\xBB"}) {
    CAPTURE(stream);
    std::string rest;
    CHECK(scan({stream}, &rest).empty());
    CHECK(rest == stream);
  }
}

TEST_CASE("In a stream of bare CRs an event ends at its CR") {
  CHECK(scan({"data: a\r\r"}).size() == 1);
  const std::vector<Seen> seen = scan({"data: a\r\r", "data: b\r\r"});
  REQUIRE(seen.size() == 2);
  CHECK(seen[1].data == "b");
}

TEST_CASE("After LF lines a blank line's CR waits for its LF") {
  std::string rest;
  CHECK(scan({"data: a\r\n\r"}, &rest).empty());
  const std::vector<Seen> with_lf = scan({"data: a\r\n\r", "\ndata: b\n\n"});
  REQUIRE(with_lf.size() == 2);
  CHECK(with_lf[0].raw == "data: a\r\n\r\n");
  const std::vector<Seen> without = scan({"data: a\n\r", "data: b\n\n"});
  REQUIRE(without.size() == 2);
  CHECK(without[0].raw == "data: a\n\r");
  CHECK(without[1].data == "b");
}

TEST_CASE("At the stream's end an event that only waits for an LF is whole") {
  SseScanner scanner;
  const std::string pending = "data: a\r\n\r";
  REQUIRE_FALSE(scanner.next(pending));
  const auto event = scanner.last(pending, SseScanner::AtEnd::terminated);
  REQUIRE(event);
  CHECK(event->data == "a");
}

TEST_CASE("At the stream's end an event without its blank line is read only on demand") {
  SseScanner scanner;
  const std::string pending = "data: a\n";
  REQUIRE_FALSE(scanner.next(pending));
  CHECK_FALSE(scanner.last(pending, SseScanner::AtEnd::terminated));
  CHECK(scanner.last(pending, SseScanner::AtEnd::unterminated)->data == "a");
}

TEST_CASE("The rest of an event can be skipped without keeping it") {
  SseScanner scanner;
  REQUIRE_FALSE(scanner.next("data: aaa"));
  CHECK_FALSE(scanner.skip("aaaa"));
  CHECK_FALSE(scanner.skip("aa\n"));
  CHECK(scanner.skip("\ndata: b\n\n") == 1);
  CHECK(scanner.next("data: b\n\n")->data == "b");
}

TEST_CASE("However a stream is cut, its events are the same") {
  const auto seed = GENERATE(range(1u, 500u));
  CAPTURE(seed);
  std::mt19937 random(seed);
  const std::vector<std::string> bits{"\n",     "\r",           "\r\n",      "\n\n",    "\r\r",
                                      "data: ", "data",         "event: x",  ":",       " ",
                                      "a",      "\xEF\xBB\xBF", "data: b\n", "\r\n\r\n"};
  std::string stream;
  for (unsigned i = 0; i < 40; ++i) stream += bits[random() % bits.size()];
  std::vector<std::string> pieces;
  for (std::size_t at = 0; at < stream.size();) {
    const std::size_t size = 1 + random() % 4;
    pieces.push_back(stream.substr(at, size));
    at += size;
  }
  std::string whole_rest, split_rest;
  const std::vector<Seen> whole = scan({stream}, &whole_rest);
  CHECK(scan(pieces, &split_rest) == whole);
  CHECK(split_rest == whole_rest);
  std::string together;
  for (const Seen& event : whole) together += event.raw;
  CHECK(together + whole_rest == stream);
}

}  // namespace
}  // namespace spillway
