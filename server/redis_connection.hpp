// One connection to Redis or Valkey: connected, over TLS where asked for, signed in, and then
// commands and replies. Belongs to one thread.
//
// Every wait ends: at the deadline the socket is closed, and whatever was waiting fails. A
// connection that failed once is not used again.
#pragma once

#include <array>
#include <expected>
#include <memory>
#include <string>
#include <vector>

#include "core/config.hpp"
#include "server/asio.hpp"
#include "server/deadline.hpp"
#include "server/redis_reply.hpp"
#include "server/resolver.hpp"
#include "server/tls_client.hpp"

namespace spillway::server {

class RedisConnection {
 public:
  // What went wrong, for the log: no secrets, and nothing that the peer worded.
  using Problem = std::string;
  template <typename T>
  using Result = std::expected<T, Problem>;

  // Borrows all of them for as long as it lives.
  struct Means {
    asio::io_context& io;
    DeadlineQueue& deadlines;
    Resolver& resolver;
    TlsClient& tls;
    TimePoint (*clock)();
  };
  explicit RedisConnection(const Means& means);

  // Whatever waits ends soon, and nothing works any more.
  void close();
  bool usable() const { return !closed_; }

  // Look-up, connection, handshake, AUTH and SELECT together have bounds::kRedisTimeout.
  Awaitable<Result<void>> open(RedisSettings settings);
  // Sends the commands and waits for as many replies, within bounds::kRedisTimeout.
  Awaitable<Result<std::vector<RedisReply>>> ask(std::string commands, std::size_t replies);
  // Of a subscription; may run while read() waits.
  Awaitable<Result<void>> send(std::string commands);
  // The next reply, within `patience`.
  Awaitable<Result<RedisReply>> read(Duration patience);

 private:
  Awaitable<error_code> connect(Origin origin);
  Awaitable<Result<void>> sign_in(RedisSettings settings);
  Awaitable<error_code> write(std::string bytes);
  Problem explain(error_code ec) const;

  Means means_;
  AsioSocket socket_;
  std::unique_ptr<TlsStream> tls_stream_;
  RedisReader reader_;
  std::array<char, 4096> buffer_;
  Deadline read_deadline_;
  Deadline write_deadline_;
  Timer looking_up_;
  bool timed_out_ = false;
  bool closed_ = false;
};

}  // namespace spillway::server
