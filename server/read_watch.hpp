// Notices that a socket became readable while nobody reads from it: the peer left, or sent what
// nobody asked for. At most one wait is pending on the socket; one that is still pending is used
// again.
#pragma once

#include <functional>
#include <memory>

#include "server/asio.hpp"

namespace spillway::server {

class ReadWatch {
 public:
  // `on_readable` runs on the worker while the watch is on; never after destruction.
  explicit ReadWatch(std::function<void()> on_readable);
  ~ReadWatch();
  ReadWatch(const ReadWatch&) = delete;
  ReadWatch& operator=(const ReadWatch&) = delete;

  void start(Socket& socket);
  void stop() { state_->on = false; }

 private:
  // Shared with the wait's handler, which outlives the owner if the socket is closed first.
  struct State {
    std::function<void()> on_readable;
    bool on = false;
    bool pending = false;
  };
  std::shared_ptr<State> state_;
};

// What a readable socket has to say, without taking it.
enum class PeerState { open, has_data, gone };
PeerState peek_peer(Socket& socket);

// True if the peer has closed its sending side, even when unread data lies in front of the end.
bool peer_closed(Socket& socket);

}  // namespace spillway::server
