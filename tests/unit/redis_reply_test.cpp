#include "server/redis_reply.hpp"

#include <catch2/catch_test_macros.hpp>

#include "core/bounds.hpp"

namespace spillway::server {
namespace {

using Kind = RedisReply::Kind;

TEST_CASE("commands are counted words, whatever is in them") {
  CHECK(redis_command({"AUTH", "pa ss\r\n"}) == "*2\r\n$4\r\nAUTH\r\n$7\r\npa ss\r\n\r\n");
}

TEST_CASE("replies are read however they are cut") {
  const std::string bytes = "*3\r\n$7\r\nmessage\r\n:42\r\n$-1\r\n+OK\r\n";
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
    RedisReader reader;
    std::vector<RedisReply> replies;
    for (const std::string& part : {bytes.substr(0, cut), bytes.substr(cut)}) {
      reader.feed(part);
      for (;;) {
        auto reply = reader.next();
        REQUIRE(reply);
        if (!*reply) break;
        replies.push_back(**reply);
      }
    }
    REQUIRE(replies.size() == 2);
    CHECK(replies[0].kind == Kind::list);
    REQUIRE(replies[0].list.size() == 3);
    CHECK(replies[0].list[0].text == "message");
    CHECK(replies[0].list[1].number == 42);
    CHECK(replies[0].list[2].kind == Kind::nothing);
    CHECK(replies[1].text == "OK");
  }
}

TEST_CASE("junk and replies beyond the bounds end the connection") {
  const auto ends = [](std::string_view bytes) {
    RedisReader reader;
    reader.feed(bytes);
    return !reader.next();
  };
  CHECK(ends("HTTP/1.1 400 Bad Request\r\n\r\n"));
  CHECK(ends("*1000000000\r\n"));
  CHECK(ends("*65\r\n"));
  CHECK(ends("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n"));
  CHECK_FALSE(ends("*1\r\n*1\r\n*1\r\n*1\r\n"));
  CHECK(ends("$1000000\r\n" + std::string(bounds::kRedisReplyBytes, 'x')));
  CHECK_FALSE(ends("$100\r\n"));
  CHECK_FALSE(ends("*64\r\n"));
}

TEST_CASE("many small replies are not one large reply") {
  RedisReader reader;
  const std::string reply = "$1000\r\n" + std::string(1000, 'x') + "\r\n";
  for (std::size_t i = 0; i < 2 * bounds::kRedisReplyBytes / reply.size(); ++i) {
    reader.feed(reply);
    const auto read = reader.next();
    REQUIRE(read);
    REQUIRE(*read);
  }
}

TEST_CASE("of an error only a code that Redis knows is told") {
  const auto code = [](std::string text) {
    RedisReply reply;
    reply.kind = Kind::error;
    reply.text = std::move(text);
    return redis_error_code(reply);
  };
  CHECK(code("WRONGPASS invalid username-password pair") == "WRONGPASS");
  CHECK(code("NOAUTH") == "NOAUTH");
  CHECK(code("SECRET is what you sent") == "an unknown error");
  CHECK(code("") == "an unknown error");
}

}  // namespace
}  // namespace spillway::server
