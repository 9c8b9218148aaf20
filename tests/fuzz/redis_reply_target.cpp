// What a Redis sends: replies are the same however they arrive, bounded whatever is announced, and
// commands arrive as the words they were made of.
#include "core/bounds.hpp"
#include "fuzz.hpp"
#include "server/redis_reply.hpp"

namespace spillway::server {
namespace {

using fuzz::expect;
using Kind = RedisReply::Kind;

// A reply on one line, so that two can be compared.
void spell(const RedisReply& reply, std::string& out, unsigned depth = 1) {
  expect(depth <= 5, "lists in lists are bounded");
  expect(reply.list.size() <= bounds::kRedisReplyItems, "lists are bounded");
  expect(reply.text.size() <= bounds::kRedisReplyBytes, "texts are bounded");
  out += std::to_string(static_cast<int>(reply.kind)) + "," + std::to_string(reply.number) + "," +
         std::to_string(reply.text.size()) + ":" + reply.text + "(";
  for (const RedisReply& item : reply.list) spell(item, out, depth + 1);
  out += ")";
}

// All replies up to the first that is refused, told by a '!'.
std::string read(const std::vector<std::string_view>& pieces) {
  RedisReader reader;
  std::string seen;
  for (const std::string_view piece : pieces) {
    reader.feed(piece);
    for (;;) {
      const auto reply = reader.next();
      if (!reply) return seen + "!";
      if (!*reply) break;
      spell(**reply, seen);
      expect(!redis_error_code(**reply).empty(), "an error has a name");
    }
  }
  return seen;
}

void check_command(std::string_view text) {
  const std::string_view first = fuzz::take_until(text, "\n");
  const std::string_view second = fuzz::take_until(text, "\n");
  RedisReader reader;
  reader.feed(redis_command({first, second, text}));
  const auto reply = reader.next();
  expect(reply && *reply && (*reply)->list.size() == 3, "a command is a list of its words");
  expect((*reply)->list[0].text == first && (*reply)->list[1].text == second &&
             (*reply)->list[2].text == text,
         "whatever is in them");
}

}  // namespace
}  // namespace spillway::server

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace spillway;
  const std::string_view text = fuzz::as_text(data, size);
  auto random = fuzz::random_of(text);
  fuzz::expect(server::read({text}) == server::read(fuzz::cut(text, random)), "however it arrives");
  server::check_command(text);
  return 0;
}
