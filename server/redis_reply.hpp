// The protocol of Redis and Valkey (RESP2) as values: commands to bytes, bytes to replies.
//
// hiredis does the parsing. What it lacks is kept here: a bound on how much one reply may hold,
// since a peer that sends junk must cost nothing. Its own connections are not used: they look names
// up in the way of everything else, and verify no host name
// (docs/decisions/0005-shared-benches.md).
#pragma once

#include <cstdint>
#include <expected>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

struct redisReader;

namespace spillway::server {

struct RedisReply {
  enum class Kind : std::uint8_t { nothing, number, text, list, error };
  Kind kind = Kind::nothing;
  std::int64_t number = 0;
  std::string text;  // of a text or an error
  std::vector<RedisReply> list;
};

// A command as it is sent.
std::string redis_command(std::initializer_list<std::string_view> words);

// What may be said in a log about an error reply: its code, if it is one that Redis knows. The rest
// is the peer's own text.
std::string_view redis_error_code(const RedisReply& reply);

// One connection's replies.
class RedisReader {
 public:
  RedisReader();

  void feed(std::string_view bytes);
  // nullopt: more bytes are needed. Unexpected: junk, or a reply beyond the bounds; the connection
  // is of no use any more.
  std::expected<std::optional<RedisReply>, std::string_view> next();

 private:
  struct Free {
    void operator()(redisReader* reader) const;
  };
  std::unique_ptr<redisReader, Free> reader_;
  std::size_t fed_ = 0;  // bytes since the last whole reply
};

}  // namespace spillway::server
