// One connection to a provider, plain or TLS, perhaps through a proxy. Every operation has a
// deadline; whatever fails or is cancelled leaves the connection closed, and a closed connection is
// never used again.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/config.hpp"
#include "core/outcome.hpp"
#include "server/asio.hpp"
#include "server/deadline.hpp"
#include "server/gather_write.hpp"
#include "server/read_buffer.hpp"
#include "server/socket.hpp"
#include "server/tls_client.hpp"

namespace spillway::server {

class Worker;

// The proxy an origin is reached through, as the environment says.
struct ProxyRoute {
  std::string host;
  std::uint16_t port = 0;
  std::string authorization;  // value of Proxy-Authorization; empty: none
};
std::optional<ProxyRoute> proxy_for(const ProxySettings& settings, const Origin& origin);

class UpstreamConnection {
 public:
  UpstreamConnection(Worker& worker, Origin origin);

  // Resolves, connects, tunnels and shakes hands. nullopt: connected; else the phase that failed.
  Awaitable<std::optional<TransportFailure>> connect(std::optional<ProxyRoute> proxy,
                                                     TimePoint deadline);

  // Reading waits in the caller's own coroutine, so that none is made for each read:
  //   begin_read(deadline);
  //   while (!read_at_once(reader, front, received, ec)) co_await wait(ec);
  // Then `received` is `front` and what has arrived, at least one byte, or `ec` an error: eof is
  // the peer's orderly end; timed_out the deadline. The bytes lie in the worker's read buffer, lent
  // to `reader`; `front`, which does not, is short.
  void begin_read(TimePoint deadline);
  bool read_at_once(ReadBuffer::Borrower& reader, std::string_view front,
                    std::string_view& received, error_code& ec);
  // Until what was wanted last can go on.
  auto wait(error_code& ec) {
    return coroutine::Wait(
        [this, &ec](coroutine::Chain::Waiting waiting) { begin_wait(ec, std::move(waiting)); });
  }
  void read_at_most(std::size_t bytes) { most_ = bytes; }

  // True if everything was taken, or failed, without waiting; else what is left is in `buffers`.
  bool write_at_once(Buffers& buffers, error_code& ec);
  // All of it, or an error. On a plain connection a peer that answers before it has read everything
  // ends the write with an error and `answered_early()`.
  Awaitable<void> write(Buffers buffers, TimePoint deadline, error_code& ec);
  bool answered_early() const { return answered_early_; }

  // False if the TLS engine holds bytes that nobody has asked for yet.
  bool nothing_buffered() const;

  // Ends whatever is waiting on the connection. Idempotent.
  void close();
  bool is_open() const { return socket_.is_open(); }

  const Origin& origin() const { return origin_; }

  // For the pool: runs `on_event` once when the idle connection says anything or closes.
  void watch_idle(std::function<void()> on_event);
  void stop_watching() {
    socket_.unwatch();
    on_idle_event_ = nullptr;
    more_likely_ = false;
  }
  TimePoint idle_since{};
  bool reused = false;

 private:
  using Wants = TlsSocket::Wants;
  Awaitable<std::optional<TransportFailure>> connect_tcp(std::string host, std::uint16_t port,
                                                         TimePoint deadline);
  Awaitable<std::optional<TransportFailure>> open_tunnel(ProxyRoute proxy);
  Awaitable<std::optional<TransportFailure>> shake_hands();
  void begin_wait(error_code& ec, coroutine::Chain::Waiting waiting);
  Wants try_read(ReadBuffer::Borrower& reader, std::string_view front, std::string_view& received,
                 error_code& ec);
  void look_at_early_answer();
  TransportFailure failure(TransportPhase phase, const error_code& ec) const;
  void fix_error(error_code& ec) const;

  Worker& worker_;
  Socket socket_;
  std::unique_ptr<Timer> resolving_;  // waits for the look-up of the host, while that lasts
  Origin origin_;
  std::unique_ptr<TlsSocket> tls_;
  Deadline deadline_;
  std::function<void()> on_idle_event_;
  bool timed_out_ = false;
  bool closed_ = false;  // by close(): nothing may open it again
  bool answered_early_ = false;
  unsigned reads_without_wait_ = 0;
  std::size_t most_ = SIZE_MAX;  // read at a time
  Wants wants_ = Wants::nothing;
  bool may_read_ = false;     // without waiting first
  bool sending_ = false;      // and an answer would be an early one
  bool more_likely_ = false;  // the last read filled the buffer
};

}  // namespace spillway::server
