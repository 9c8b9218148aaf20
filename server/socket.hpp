// TCP connections that do not block, and wait in their worker's loop.
//
// Asio asks the kernel anew before each wait. A socket here is made known to the kernel once, and
// asked about again only where it may still hold what the kernel has told of: after a read that
// came back short there is nothing left, and news come by themselves (epoll(7), EPOLLET). So
// waiting costs a request no call of its own.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "server/asio.hpp"
#include "server/callback.hpp"
#include "server/descriptor.hpp"
#include "server/gather_write.hpp"
#include "server/worker_loop.hpp"

namespace spillway::server {

// Closed to begin with. Reading and writing never wait: `ec` is would_block instead.
class Socket : public SelfUnlinking {
 public:
  // `on_readable` runs in the event loop, once after each watch(); never after destruction.
  Socket(WorkerLoop& loop, Callback on_readable);
  ~Socket();
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  // Becomes this one, which does not block.
  void open(Descriptor descriptor);
  // Becomes a new one that connects; once it is writable, connected() tells what came of it.
  void connect(const Tcp::endpoint& endpoint, error_code& ec);
  error_code connected() const;

  // At least one byte, or an error; eof at the peer's orderly end.
  std::size_t read_some(std::span<char> room, error_code& ec);
  // How much of the first buffers was taken, of which there is at least one and none empty. The
  // kernel has it at the end of the loop's round, if it is little. What the kernel then does not
  // take waits here, and nothing more is taken meanwhile; what it refuses is the error of the next
  // write, and of the next read that finds nothing.
  std::size_t write_some(std::span<const asio::const_buffer> buffers, error_code& ec);
  // False: some of what was taken waits here, until writable().
  bool flush();
  // Something does, or was refused, as far as is known.
  bool owes() const { return unsent_ || refused_ != 0; }
  // For whoever reads without read_some(): the kernel had nothing.
  void found_empty() { will_tell_ = known_ && !ended_; }

  // To be awaited, by one coroutine at a time each. It may be in vain: there may be nothing after
  // all. `ec` is operation_aborted if the socket was closed, or the wait cancelled; the system's if
  // it cannot wait, and the socket is closed. Destroying the socket destroys who waits.
  auto readable(error_code& ec) {
    return coroutine::Wait(
        [this, &ec](coroutine::Chain::Waiting waiting) { wait_readable(ec, std::move(waiting)); });
  }
  auto writable(error_code& ec) {
    return coroutine::Wait(
        [this, &ec](coroutine::Chain::Waiting waiting) { wait_writable(ec, std::move(waiting)); });
  }
  void wait_readable(error_code& ec, coroutine::Chain::Waiting waiting);
  void wait_writable(error_code& ec, coroutine::Chain::Waiting waiting);

  // on_readable is called, once, with the next news; unless a coroutine waits for them, which ends
  // the watch.
  void watch();
  void unwatch() { watched_ = false; }

  // Whoever waits goes on, from the event loop and not from here.
  void cancel();
  void close();  // idempotent; loudly, if something of what was taken waits here
  // Whatever closes it from here on, be it the end of the process, resets it: the peer sees an
  // error instead of an orderly end.
  void end_loudly(bool loud);
  void end_sending(error_code& ec);

  bool is_open() const { return descriptor_.get() >= 0; }
  int native_handle() const { return descriptor_.get(); }
  Tcp::endpoint peer(error_code& ec) const;

 private:
  friend class Outbox;
  friend class WorkerLoop;
  struct Waiter {
    coroutine::Chain::Waiting waiting;
    error_code& ec;
  };
  static void go_on(std::optional<Waiter>& waiter, error_code ec);
  void prefetch_reader() const {
    if (reader_) reader_->waiting.prefetch_chain();
  }
  void prefetch_readers_frame() const {
    if (reader_) reader_->waiting.prefetch_frame();
  }
  void hand_over(std::string_view text);
  void send_rest();
  void refuse(int error);
  void end_waits(asio::error::basic_errors why);
  void close(asio::error::basic_errors why);
  void ask();
  void became_readable(bool ended);
  void became_writable();

  WorkerLoop& loop_;
  Callback on_readable_;
  std::optional<Waiter> reader_;
  std::optional<Waiter> writer_;
  std::unique_ptr<std::string> unsent_;  // was taken, and the kernel has no room for it
  Descriptor descriptor_;
  int refused_ = 0;         // why the kernel did not take what was taken (errno(3))
  bool known_ = false;      // to the kernel
  bool will_tell_ = false;  // the kernel, of what there is to read: unless it has, and that is left
  bool ended_ = false;      // the peer's side, of which the kernel tells only once
  bool watched_ = false;
  bool in_outbox_ = false;
  bool ending_ = false;                  // whoever waits is about to be told so, and nothing else
  asio::error::basic_errors failure_{};  // what they are told
};

// Reads that find something at once take no turn of the event loop; after so many others get
// theirs.
inline constexpr unsigned kReadsWithoutWait = 16;

// What a readable socket has to say, without taking it.
enum class PeerState { open, has_data, gone };
PeerState peek_peer(Socket& socket);

// True if the peer has closed its sending side, even when unread data lies in front of the end.
bool peer_closed(const Socket& socket);

}  // namespace spillway::server
