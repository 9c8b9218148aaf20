// Waits until a socket can be read: for a coroutine that wants to read, and for whoever wants to
// know that a peer spoke or left while nobody reads. Both share one wait in the kernel, which goes
// on while neither is interested and serves whoever is next.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "server/asio.hpp"

namespace spillway::server {

// Reads that find something at once take no turn of the event loop; after so many others get
// theirs.
inline constexpr unsigned kReadsWithoutWait = 16;

class ReadWatch {
 public:
  // `on_readable` runs on the worker while the watch is on, once for each start(); never after
  // destruction.
  explicit ReadWatch(std::function<void()> on_readable);
  ~ReadWatch();
  ReadWatch(const ReadWatch&) = delete;
  ReadWatch& operator=(const ReadWatch&) = delete;

  void start(Socket& socket);
  void stop() { state_->on = false; }

  // To be awaited, by one coroutine at a time: `ec` is set if the wait was cancelled or the socket
  // closed.
  auto readable(Socket& socket, error_code& ec) {
    return coroutine::Wait([this, &socket, &ec](coroutine::Chain::Waiting reader) {
      notify(socket, ec, std::move(reader));
    });
  }

  void notify(Socket& socket, error_code& ec, coroutine::Chain::Waiting reader);

 private:
  struct Reader {
    coroutine::Chain::Waiting waiting;
    error_code& ec;
  };
  // Shared with the wait's handler, which outlives the owner if the socket is closed first.
  struct State {
    std::function<void()> on_readable;
    std::optional<Reader> reader;
    bool on = false;
    bool pending = false;
  };
  class Pending;
  void wait(Socket& socket);

  std::shared_ptr<State> state_;
};

// What a readable socket has to say, without taking it.
enum class PeerState { open, has_data, gone };
PeerState peek_peer(Socket& socket);

// True if the peer has closed its sending side, even when unread data lies in front of the end.
bool peer_closed(Socket& socket);

}  // namespace spillway::server
