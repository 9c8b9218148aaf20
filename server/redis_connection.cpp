#include "server/redis_connection.hpp"

#include <fmt/format.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>

#include "core/bounds.hpp"

namespace spillway::server {

RedisConnection::RedisConnection(const Means& means)
    : means_(means),
      socket_(means.io),
      read_deadline_(means.deadlines,
                     [this] {
                       timed_out_ = true;
                       error_code ignored;
                       socket_.close(ignored);
                     }),
      write_deadline_(means.deadlines,
                      [this] {
                        timed_out_ = true;
                        error_code ignored;
                        socket_.close(ignored);
                      }),
      looking_up_(means.io) {}

void RedisConnection::close() {
  closed_ = true;
  looking_up_.cancel();
  error_code ignored;
  socket_.close(ignored);
}

RedisConnection::Problem RedisConnection::explain(error_code ec) const {
  if (timed_out_) return "no answer in time";
  if (ec == asio::error::eof) return "it closed the connection";
  if (tls_stream_) {
    const std::string refused = TlsClient::verification_problem(tls_stream_->native_handle());
    if (!refused.empty()) return "its certificate was refused: " + refused;
  }
  return ec.message();
}

Awaitable<RedisConnection::Result<void>> RedisConnection::open(RedisSettings settings) {
  read_deadline_.arm(means_.clock() + bounds::kRedisTimeout);
  Origin origin;
  origin.tls = settings.tls;
  origin.host = settings.host;
  origin.port = settings.port;
  origin.ca_file = settings.ca_file;
  const error_code ec = co_await connect(std::move(origin));
  if (ec) co_return std::unexpected(explain(ec));
  co_return co_await sign_in(std::move(settings));
}

Awaitable<error_code> RedisConnection::connect(Origin origin) {
  const TimePoint now = means_.clock();
  looking_up_.expires_at(now + bounds::kRedisTimeout);
  const Resolver::Answer answer = co_await means_.resolver.resolve(origin.host, looking_up_, now);
  error_code ec = answer.error;
  for (const auto& address : answer.addresses) {
    if (timed_out_) co_return asio::error::timed_out;
    if (closed_) co_return asio::error::operation_aborted;
    error_code ignored;
    socket_.close(ignored);
    const Tcp::endpoint endpoint(address, origin.port);
    co_await socket_.async_connect(endpoint, to(ec));
    if (!ec) break;
  }
  if (ec || !socket_.is_open() || closed_) co_return ec ? ec : error_code(asio::error::timed_out);
  socket_.set_option(Tcp::no_delay(true), ec);
  socket_.set_option(asio::socket_base::keep_alive(true), ec);
  if (!origin.tls) co_return error_code();
  tls_stream_ = means_.tls.make_stream(socket_, origin);
  co_await tls_stream_->async_handshake(asio::ssl::stream_base::client, to(ec));
  co_return ec;
}

Awaitable<RedisConnection::Result<void>> RedisConnection::sign_in(RedisSettings settings) {
  std::string commands;
  std::size_t count = 0;
  const std::string& password = settings.password.reveal();
  if (!settings.password.empty()) {
    commands = settings.user.empty() ? redis_command({"AUTH", password})
                                     : redis_command({"AUTH", settings.user, password});
    ++count;
  }
  // Also without a password: it shows at once whether one is wanted.
  commands += redis_command({"SELECT", std::to_string(settings.database)});
  ++count;
  const auto replies = co_await ask(std::move(commands), count);
  if (!replies) co_return std::unexpected(replies.error());
  for (const RedisReply& reply : *replies) {
    if (reply.kind == RedisReply::Kind::error)
      co_return std::unexpected(fmt::format("it refuses us: {}", redis_error_code(reply)));
  }
  co_return Result<void>();
}

Awaitable<RedisConnection::Result<std::vector<RedisReply>>> RedisConnection::ask(
    std::string commands, std::size_t replies) {
  const TimePoint end = means_.clock() + bounds::kRedisTimeout;
  const Result<void> sent = co_await send(std::move(commands));
  if (!sent) co_return std::unexpected(sent.error());
  std::vector<RedisReply> out;
  while (out.size() < replies) {
    Result<RedisReply> reply = co_await read(end - means_.clock());
    if (!reply) co_return std::unexpected(reply.error());
    out.push_back(std::move(*reply));
  }
  co_return out;
}

Awaitable<RedisConnection::Result<void>> RedisConnection::send(std::string commands) {
  write_deadline_.arm(means_.clock() + bounds::kRedisTimeout);
  const error_code ec = co_await write(std::move(commands));
  write_deadline_.disarm();
  if (ec) co_return std::unexpected(explain(ec));
  co_return Result<void>();
}

Awaitable<error_code> RedisConnection::write(std::string bytes) {
  error_code ec;
  const auto buffer = asio::buffer(bytes);
  if (tls_stream_) {
    co_await asio::async_write(*tls_stream_, buffer, to(ec));
  } else {
    co_await asio::async_write(socket_, buffer, to(ec));
  }
  co_return ec;
}

Awaitable<RedisConnection::Result<RedisReply>> RedisConnection::read(Duration patience) {
  read_deadline_.arm(means_.clock() + patience);
  for (;;) {
    auto reply = reader_.next();
    if (!reply) co_return std::unexpected(Problem(reply.error()));
    if (*reply) {
      read_deadline_.disarm();
      co_return std::move(**reply);
    }
    error_code ec;
    std::size_t got = 0;
    const auto buffer = asio::buffer(buffer_);
    if (tls_stream_) {
      got = co_await tls_stream_->async_read_some(buffer, to(ec));
    } else {
      got = co_await socket_.async_read_some(buffer, to(ec));
    }
    if (ec) co_return std::unexpected(explain(ec));
    reader_.feed(std::string_view(buffer_.data(), got));
  }
}

}  // namespace spillway::server
