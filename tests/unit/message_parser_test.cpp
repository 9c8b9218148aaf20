#include "server/message_parser.hpp"

#include <catch2/catch_test_macros.hpp>
#include <string>

namespace spillway::server {
namespace {

// The body that comes out when the bytes behind the head arrive one by one; nullopt: refused, or
// never whole.
std::optional<std::string> body_byte_by_byte(std::string_view head, std::string_view rest) {
  RequestParser parser;
  std::vector<std::string_view> pieces;
  error_code ec;
  parser.parse(head, pieces, ec);
  REQUIRE_FALSE(ec);
  std::string body, pending;
  for (const char byte : rest) {
    pending.push_back(byte);
    pieces.clear();
    const std::size_t taken = parser.parse(pending, pieces, ec);
    if (ec) return std::nullopt;
    for (const std::string_view piece : pieces) body.append(piece);
    pending.erase(0, taken);
  }
  if (!parser.is_done()) return std::nullopt;
  return body;
}

constexpr std::string_view kChunked =
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

TEST_CASE("a chunked body may arrive byte by byte") {
  CHECK(body_byte_by_byte(kChunked, "5\r\nhello\r\n1;x\r\n!\r\n0\r\n\r\n") == "hello!");
  CHECK(body_byte_by_byte(kChunked, "1\r\na\r\n0\r\nTrailer: b\r\n\r\n") == "a");
}

TEST_CASE("an empty chunked body may arrive byte by byte") {
  // Beast asserts that nobody asks it again about a last chunk of less than five bytes.
  CHECK(body_byte_by_byte(kChunked, "0\r\n\r\n") == "");
  CHECK(body_byte_by_byte(kChunked, "0\r\nTrailer: b\r\n\r\n") == "");
  CHECK(body_byte_by_byte(kChunked, "000\r\n\r\n") == "");
  CHECK(body_byte_by_byte(kChunked, "0;a\r\n\r\n") == "");
}

TEST_CASE("a chunk that is none is refused") {
  CHECK_FALSE(body_byte_by_byte(kChunked, "x\r\n"));
  CHECK_FALSE(body_byte_by_byte(kChunked, "1\r\na0\r\n"));
}

}  // namespace
}  // namespace spillway::server
