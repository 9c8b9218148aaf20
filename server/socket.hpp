// TCP connections that do not block, and the set in which those of one worker wait.
//
// Asio asks the kernel anew before each wait. A socket here is made known to the kernel once, and
// asked about again only where it may still hold what the kernel has told of: after a read that
// came back short there is nothing left, and news come by themselves (epoll(7), EPOLLET). So
// waiting costs a request no call of its own.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/intrusive/list.hpp>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <utility>

#include "server/asio.hpp"
#include "server/gather_write.hpp"

namespace spillway::server {

// Owns a file descriptor of the kernel's; -1: none.
class Descriptor {
 public:
  explicit Descriptor(int number = -1) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(other.release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept;
  ~Descriptor();

  int get() const { return number_; }
  int release() { return std::exchange(number_, -1); }

 private:
  int number_;
};

// A link of boost::intrusive's lists that ends with its owner.
using SelfUnlinking =
    boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;

// All on one thread, in whose event loop the sockets wait. Like a DeadlineQueue it must outlive
// them and, because they may live in coroutines of the event loop, the loop as well: that is why
// the loop is only given by start().
class SocketSet {
 public:
  SocketSet() = default;
  SocketSet(const SocketSet&) = delete;
  SocketSet& operator=(const SocketSet&) = delete;

  // Throws boost::system::system_error if the kernel has no descriptor left.
  void start(asio::io_context& io);
  // Before the loop goes away. Coroutines that wait for a socket are destroyed.
  void stop();

 private:
  friend class Socket;
  class Event;
  using Sockets = boost::intrusive::list<Socket, boost::intrusive::base_hook<SelfUnlinking>,
                                         boost::intrusive::constant_time_size<false>>;
  static constexpr std::size_t kAtOnce = 128;  // then timers and whatever else have their turn

  void wait();
  void serve();
  void serve_next();
  void end_waits();
  void wake();

  std::optional<asio::posix::basic_stream_descriptor<Executor>> kernel_;  // epoll's
  Descriptor woken_;  // an eventfd among the sockets: some are in `ending_`
  bool awake_ = false;
  Sockets known_;   // to the kernel
  Sockets ending_;  // whoever waits for one of these is to go on without it
  std::array<epoll_event, kAtOnce> told_;
  std::size_t next_ = 0;  // of told_, to be served
  std::size_t count_ = 0;
};

// Closed to begin with. Reading and writing never wait: `ec` is would_block instead.
class Socket : public SelfUnlinking {
 public:
  // `on_readable` runs in the event loop, once after each watch(); never after destruction.
  Socket(SocketSet& set, std::function<void()> on_readable);
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
  // What the kernel takes of the first buffers, of which there is at least one.
  std::size_t write_some(std::span<const asio::const_buffer> buffers, error_code& ec);
  // For whoever reads without read_some(): the kernel had nothing.
  void found_empty() { will_tell_ = known_ && !ended_; }

  // To be awaited, by one coroutine at a time each. It may be in vain: there may be nothing after
  // all. `ec` is operation_aborted if the socket was closed, or the wait cancelled.
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

  // From now on on_readable is called, once, when there is something to read and nobody waits to.
  void watch();
  void unwatch() { watched_ = false; }

  // Whoever waits goes on, from the event loop and not from here.
  void cancel();
  void close();  // idempotent
  void reset();  // closes so that the peer sees an error instead of an orderly end
  void end_sending(error_code& ec);

  bool is_open() const { return descriptor_.get() >= 0; }
  int native_handle() const { return descriptor_.get(); }
  Tcp::endpoint peer(error_code& ec) const;

 private:
  friend class SocketSet;
  struct Waiter {
    coroutine::Chain::Waiting waiting;
    error_code& ec;
  };
  static void go_on(std::optional<Waiter>& waiter, error_code ec);
  void ask();
  void became_readable(bool ended);

  SocketSet& set_;
  std::function<void()> on_readable_;
  std::optional<Waiter> reader_;
  std::optional<Waiter> writer_;
  Descriptor descriptor_;
  bool known_ = false;      // to the kernel
  bool will_tell_ = false;  // the kernel, of what there is to read: unless it has, and that is left
  bool ended_ = false;      // the peer's side, of which the kernel tells only once
  bool watched_ = false;
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
