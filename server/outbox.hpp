// The little that sockets write while a round of the event loop is served. At its end it is handed
// to the kernel, one after another: sending takes so much of the processor's caches that whatever
// comes between two of them waits for memory (decision 13).
#pragma once

#include <array>
#include <boost/asio/buffer.hpp>
#include <cstdint>
#include <span>

namespace spillway::server {

class Socket;

// Belongs to one loop, and to its thread.
class Outbox {
 public:
  static constexpr std::size_t kMostBytes = 4096;  // of one write

  // From here on it takes what is put in, until hand_over_and_close().
  void open() { open_ = true; }
  // `bytes`: of all buffers. False: closed, or that is too much for it; nothing was taken.
  bool put(Socket& socket, std::span<const boost::asio::const_buffer> buffers, std::size_t bytes);
  // Each to its socket's hand_over(), in the order in which they were put in; nothing is left.
  void hand_over();
  void hand_over_and_close() {
    hand_over();
    open_ = false;
  }

 private:
  // So many have their turn before the first of them goes out.
  static constexpr std::size_t kLetters = 32;
  static constexpr std::size_t kBytes = 32 * 1024;

  struct Letter {
    Socket* socket;
    std::uint32_t begin;  // in bytes_
    std::uint32_t end;
  };
  bool open_ = false;
  std::size_t letter_count_ = 0;
  std::size_t used_ = 0;  // of bytes_
  std::array<Letter, kLetters> letters_;
  std::array<char, kBytes> bytes_;
};

}  // namespace spillway::server
