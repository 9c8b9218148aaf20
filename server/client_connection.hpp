// A client's connection, plain or TLS: reads one request at a time, strictly checked and bounded,
// writes answers, and notices when the client leaves.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/config.hpp"
#include "server/client_request.hpp"
#include "server/deadline.hpp"
#include "server/socket.hpp"
#include "server/tls_socket.hpp"

namespace spillway::server {

class Worker;

class ClientConnection {
 public:
  ClientConnection(Worker& worker, Descriptor socket);

  // To be called first where the connection is encrypted. False: no TLS came of it; the client has
  // been told, if that was possible, and the connection is closed. `patience` ends at
  // kTlsHandshake.
  bool encrypted() const { return tls_ != nullptr; }
  Awaitable<bool> shake_hands(Duration patience);

  // What reading a request can come to, besides the request.
  struct ReadFault {
    std::optional<HeadFault>
        answer;  // nullopt: the client is gone, or was idle too long; nothing to say
    static ReadFault gone() { return ReadFault{std::nullopt}; }
    static ReadFault refuse(int status, std::string message) {
      return ReadFault{HeadFault{status, std::move(message)}};
    }
  };

  // For the next request. Until some of it is there, a coroutine waits that needs nothing else:
  //   expect_request(config);
  //   co_await first_bytes();
  // Then read_head() says what has come, or that the time is over.
  void expect_request(const Config& config);
  auto first_bytes() {
    return coroutine::Wait(
        [this](coroutine::Chain::Waiting waiting) { begin_wait(std::move(waiting)); });
  }

  // Reads the next request's head into `request`, which is new, and with it what has come of the
  // body. Answers nothing itself.
  Awaitable<std::optional<ReadFault>> read_head(const Config& config, ClientRequest& request);

  // Reads the body into request.body; says 100 Continue first where the client waits for it.
  Awaitable<std::optional<ReadFault>> read_body(const Config& config, ClientRequest& request);

  // True if the socket took everything before `deadline`; after false the connection is closed.
  // What it does not take at once is copied first if the pieces are only `passing`, which may lie
  // in the worker's read buffer.
  enum class Pieces { staying, passing };
  Awaitable<bool> write(std::span<const std::string_view> pieces, TimePoint deadline,
                        Pieces lifetime = Pieces::staying);

  // Writes what the socket takes at once, and removes it from `buffers`; what the socket has to
  // become for more, if that was not all. Nobody else may be writing.
  TlsSocket::Wants write_at_once(Buffers& buffers, error_code& ec);
  Awaitable<void> wait_for(TlsSocket::Wants wants, error_code& ec);
  // What was taken and not given to the kernel yet. After that, or after `deadline`, the connection
  // may be closed.
  Awaitable<void> give_rest(TimePoint deadline);

  // Calls `on_ending` at most once while a request is being answered: if the client closes its
  // side, or with what end() says.
  enum class Ending { client_left, client_stalled, cut_off };
  void watch(std::function<void(Ending)> on_ending);
  void stop_watching();
  // Why the last write failed.
  Ending write_fault() const { return timed_out_ ? Ending::client_stalled : Ending::client_left; }

  // For an answer whose end the client may not be able to tell from a cut: until it is whole, the
  // client sees an error, whatever closes the connection, be it the end of the process.
  void end_loudly(bool loud);

  // Ends the connection so that the last answer arrives even if the client is still sending: closes
  // the sending side, then reads and drops for a moment.
  Awaitable<void> linger();
  // Ends the connection after a complete answer, or none.
  Awaitable<void> finish();
  void close_idle();  // between two requests
  // Closes at once; over TLS the client sees that its answer was cut.
  void close();
  // Ends whatever is going on: the watcher is told, or else the connection is closed.
  void end(Ending why);
  bool is_open() const { return socket_.is_open(); }
  bool idle() const { return idle_; }                // between requests
  bool kept() const { return idle_ && !first_; }     // the same, and not new
  const std::string& peer() const { return peer_; }  // address; empty if not known
  Socket& socket() { return socket_; }
  std::uint64_t bytes_written() const { return bytes_written_; }

 private:
  // So much of a promised body must have come before the rest gets memory.
  static constexpr std::size_t kBodyStepBytes = 1024 * 1024;

  void begin_wait(coroutine::Chain::Waiting waiting);
  static void take_head(RequestHeadCheck& check, std::string_view received, ClientRequest& request);
  void take_body(std::string_view received, ClientRequest& request);
  Awaitable<std::optional<ReadFault>> read_fixed_body(ClientRequest& request);
  Awaitable<std::optional<ReadFault>> read_chunked_body(const Config& config,
                                                        ClientRequest& request);
  // `ec` is would_block if there is nothing yet.
  std::size_t read_at_once(std::span<char> room, error_code& ec);
  Awaitable<std::size_t> read_some(char* data, std::size_t size, error_code& ec);
  Awaitable<void> write_rest(Buffers buffers, error_code& ec);
  Awaitable<void> say_goodbye();
  Awaitable<void> refuse_handshake(error_code why);
  PeerState look() { return tls_ ? tls_->peek() : peek_peer(socket_); }
  ReadFault body_fault(const error_code& ec) const;
  void look_at_peer();

  Worker& worker_;
  Socket socket_;
  std::unique_ptr<TlsSocket> tls_;  // nullptr: plain
  Deadline deadline_;
  Deadline second_look_;  // while unread data hides the end of the stream
  std::function<void(Ending)> on_ending_;
  std::string peer_;
  std::string carried_;    // received and not used yet: the next request's beginning, or a chunk's
  error_code wait_error_;  // of first_bytes()
  unsigned reads_without_wait_ = 0;
  bool timed_out_ = false;
  bool writing_ = false;
  bool idle_ = true;
  bool first_ = true;
  std::uint64_t bytes_written_ = 0;
};

}  // namespace spillway::server
