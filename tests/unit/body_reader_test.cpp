#include "server/body_reader.hpp"

#include <catch2/catch_test_macros.hpp>
#include <initializer_list>
#include <optional>
#include <string>

namespace spillway::server {
namespace {

// The body that comes out when its bytes arrive one by one; nullopt: refused, or never whole.
std::optional<std::string> body_byte_by_byte(BodyReader reader, std::string_view bytes) {
  std::vector<std::string_view> pieces;
  error_code ec;
  std::string body, pending;
  for (const char byte : bytes) {
    pending.push_back(byte);
    pieces.clear();
    const std::size_t taken = reader.read(pending, pieces, ec);
    if (ec) return std::nullopt;
    for (const std::string_view piece : pieces) body.append(piece);
    pending.erase(0, taken);
  }
  if (!reader.done()) return std::nullopt;
  return body;
}

std::optional<std::string> chunked(std::string_view bytes) {
  return body_byte_by_byte(BodyReader(BodyFraming::chunked, 0), bytes);
}

TEST_CASE("a chunked body may arrive byte by byte") {
  CHECK(chunked("5\r\nhello\r\n1;x\r\n!\r\n0\r\n\r\n") == "hello!");
  CHECK(chunked("1\r\na\r\n0\r\nTrailer: b\r\n\r\n") == "a");
}

TEST_CASE("an empty chunked body may arrive byte by byte") {
  // Beast asserts that nobody asks it again about a last chunk of less than five bytes.
  CHECK(chunked("0\r\n\r\n") == "");
  CHECK(chunked("0\r\nTrailer: b\r\n\r\n") == "");
  CHECK(chunked("000\r\n\r\n") == "");
  CHECK(chunked("0;a\r\n\r\n") == "");
  CHECK_FALSE(chunked("0\n\r\n\r\n"));
}

TEST_CASE("a chunk that is none is refused") {
  CHECK_FALSE(chunked("x\r\n"));
  CHECK_FALSE(chunked("1\r\na0\r\n"));
}

// The body that comes out of the pieces in which its bytes arrive; nullopt: refused, or never
// whole.
std::optional<std::string> body_of(std::initializer_list<std::string_view> arriving) {
  BodyReader reader(BodyFraming::chunked, 0);
  std::string body, pending;
  for (const std::string_view more : arriving) {
    std::vector<std::string_view> pieces;
    error_code ec;
    pending.append(more);
    const std::size_t taken = reader.read(pending, pieces, ec);
    for (const std::string_view piece : pieces) body.append(piece);
    pending.erase(0, taken);
    if (ec) return std::nullopt;
  }
  if (!reader.done() || !pending.empty()) return std::nullopt;
  return body;
}

TEST_CASE("a chunked body says the same wherever it is cut") {
  for (const std::string_view bytes : {
           "5\r\nhello\r\n2\r\n, \r\n005\r\nworld\r\n0\r\n\r\n",
           "1\r\na\r\nA\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
           "1\r\na\r\n1;x=y\r\nb\r\n1\r\nc\r\n0\r\nTrailer: d\r\n\r\n",
           "1\r\na\r\n00000001\r\nb\r\n1\r\n\r\r\n1\r\n\n\r\n0\r\n\r\n",
           "1\r\na\r\n000001\r\nb\r\n0000001\r\nc\r\n0\r\n\r\n",
           "1\r\na\r\n1 \r\nb\r\n0\r\n\r\n",
           "1\r\na\r\n\r\nb\r\n0\r\n\r\n",
           "1\r\na\r\n-1\r\nb\r\n0\r\n\r\n",
           "1\r\na\r\n0x1\r\nb\r\n0\r\n\r\n",
           "1\r\na\r\n1\nb\r\n0\r\n\r\n",
           "1\r\na\r\n1\rb\r\n0\r\n\r\n",
           "1\r\na\r\n1\r\nbc\r\n0\r\n\r\n",
           "1\r\nab1\r\nb\r\n0\r\n\r\n",
           "1\r\na\r\n1\r\nb\n1\r\nc\r\n0\r\n\r\n",
           "1\r\na\r\nfffffffffffffffff\r\nb\r\n0\r\n\r\n",
       }) {
    const std::optional<std::string> expected = chunked(bytes);
    CHECK(body_of({bytes}) == expected);
    for (std::size_t i = 1; i < bytes.size(); ++i) {
      INFO(bytes << ", cut at " << i);
      CHECK(body_of({bytes.substr(0, i), bytes.substr(i)}) == expected);
      for (std::size_t j = i + 1; j < bytes.size(); ++j) {
        INFO("and at " << j);
        CHECK(body_of({bytes.substr(0, i), bytes.substr(i, j - i), bytes.substr(j)}) == expected);
      }
    }
  }
}

TEST_CASE("a body of a known length takes no more than that") {
  BodyReader reader(BodyFraming::length, 5);
  std::vector<std::string_view> pieces;
  error_code ec;
  CHECK(reader.read("hel", pieces, ec) == 3);
  CHECK_FALSE(reader.done());
  CHECK(reader.read("lonext", pieces, ec) == 2);
  CHECK(reader.done());
  CHECK(pieces == std::vector<std::string_view>{"hel", "lo"});
  CHECK(reader.read("next", pieces, ec) == 0);
}

TEST_CASE("a body without a length ends with the connection") {
  BodyReader reader(BodyFraming::until_close, 0);
  std::vector<std::string_view> pieces;
  error_code ec;
  CHECK(reader.read("all of it", pieces, ec) == 9);
  CHECK_FALSE(reader.done());
  reader.closed();
  CHECK(reader.done());
}

TEST_CASE("the end of the connection does not end a body that has another end") {
  BodyReader reader(BodyFraming::length, 5);
  reader.closed();
  CHECK_FALSE(reader.done());
}

TEST_CASE("no body is done at once") {
  CHECK(BodyReader(BodyFraming::none, 0).done());
  CHECK(BodyReader(BodyFraming::length, 0).done());
}

}  // namespace
}  // namespace spillway::server
