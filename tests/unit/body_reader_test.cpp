#include "server/body_reader.hpp"

#include <catch2/catch_test_macros.hpp>
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
}

TEST_CASE("a chunk that is none is refused") {
  CHECK_FALSE(chunked("x\r\n"));
  CHECK_FALSE(chunked("1\r\na0\r\n"));
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
