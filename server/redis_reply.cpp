#include "server/redis_reply.hpp"

#include <hiredis/hiredis.h>

#include <algorithm>
#include <array>
#include <new>

#include "core/bounds.hpp"

namespace spillway::server {

namespace {

// The type of a length is int before hiredis 1.0 and size_t since.
template <typename Length>
using MakeArray = void* (*)(const redisReadTask*, Length);

constexpr unsigned kDepth = 4;  // of lists in lists; what we ask for has one

bool too_deep(const redisReadTask* task) {
  unsigned depth = 1;
  for (const redisReadTask* outer = task->parent; outer && depth <= kDepth; outer = outer->parent)
    ++depth;
  return depth > kDepth;
}

template <typename Length>
struct BoundedArray {
  static inline MakeArray<Length> original = nullptr;
  static void* make(const redisReadTask* task, Length length) {
    if (length > static_cast<Length>(bounds::kRedisReplyItems) || too_deep(task)) return nullptr;
    return original(task, length);
  }
};

template <typename Length>
void bound_arrays(MakeArray<Length>& function) {
  BoundedArray<Length>::original = function;
  function = &BoundedArray<Length>::make;
}

redisReplyObjectFunctions make_bounded_functions() {
  redisReader* reader = redisReaderCreate();
  if (!reader) throw std::bad_alloc();
  redisReplyObjectFunctions functions = *reader->fn;
  redisReaderFree(reader);
  bound_arrays(functions.createArray);
  return functions;
}

// hiredis' own way of making replies, except for arrays of absurd lengths and depths.
redisReplyObjectFunctions& bounded_functions() {
  static redisReplyObjectFunctions functions = make_bounded_functions();
  return functions;
}

RedisReply to_value(const redisReply& reply) {
  RedisReply out;
  switch (reply.type) {
    case REDIS_REPLY_INTEGER:
      out.kind = RedisReply::Kind::number;
      out.number = reply.integer;
      break;
    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS:
      out.kind = RedisReply::Kind::text;
      out.text.assign(reply.str, static_cast<std::size_t>(reply.len));
      break;
    case REDIS_REPLY_ERROR:
      out.kind = RedisReply::Kind::error;
      out.text.assign(reply.str, static_cast<std::size_t>(reply.len));
      break;
    case REDIS_REPLY_ARRAY:
      out.kind = RedisReply::Kind::list;
      for (std::size_t i = 0; i < reply.elements; ++i)
        out.list.push_back(to_value(*reply.element[i]));
      break;
    default:
      break;
  }
  return out;
}

}  // namespace

std::string redis_command(std::initializer_list<std::string_view> words) {
  std::vector<const char*> starts;
  std::vector<std::size_t> lengths;
  for (const std::string_view word : words) {
    starts.push_back(word.data());
    lengths.push_back(word.size());
  }
  char* bytes = nullptr;
  const auto length = redisFormatCommandArgv(&bytes, static_cast<int>(starts.size()), starts.data(),
                                             lengths.data());
  if (length < 0) throw std::bad_alloc();
  std::string out(bytes, static_cast<std::size_t>(length));
  std::fill_n(bytes, length, '\0');  // it may have been a password
  redisFreeCommand(bytes);
  return out;
}

std::string_view redis_error_code(const RedisReply& reply) {
  constexpr auto kCodes = std::to_array<std::string_view>(
      {"WRONGPASS", "NOAUTH", "NOPERM", "LOADING", "READONLY", "MOVED", "ASK", "OOM", "MISCONF",
       "WRONGTYPE", "BUSY", "CLUSTERDOWN", "MASTERDOWN", "NOREPLICAS", "DENIED", "ERR"});
  const std::string_view text = reply.text;
  const auto known = std::ranges::find(kCodes, text.substr(0, text.find(' ')));
  return known == kCodes.end() ? "an unknown error" : *known;
}

void RedisReader::Free::operator()(redisReader* reader) const {
  redisReaderFree(reader);
}

RedisReader::RedisReader() : reader_(redisReaderCreate()) {
  if (!reader_) throw std::bad_alloc();
  reader_->fn = &bounded_functions();
}

void RedisReader::feed(std::string_view bytes) {
  fed_ += bytes.size();
  if (fed_ <= bounds::kRedisReplyBytes) redisReaderFeed(reader_.get(), bytes.data(), bytes.size());
}

std::expected<std::optional<RedisReply>, std::string_view> RedisReader::next() {
  void* raw = nullptr;
  if (redisReaderGetReply(reader_.get(), &raw) != REDIS_OK)
    return std::unexpected("it does not speak Redis' protocol");
  if (!raw) {
    if (fed_ > bounds::kRedisReplyBytes) return std::unexpected("a reply is too large");
    return std::nullopt;
  }
  fed_ = 0;
  struct FreeReply {
    void operator()(void* reply) const { freeReplyObject(reply); }
  };
  const std::unique_ptr<void, FreeReply> owner(raw);
  return to_value(*static_cast<redisReply*>(raw));
}

}  // namespace spillway::server
