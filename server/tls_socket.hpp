// TLS over a connected socket that does not block, towards providers and towards clients. OpenSSL
// reads and writes the socket as it needs to: nothing goes through buffers in between, and an idle
// connection holds none. Who waits until the socket is ready, and how long, is its user's business.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <span>

#include "server/asio.hpp"
#include "server/gather_write.hpp"
#include "server/socket.hpp"

namespace spillway::server {

class TlsSocket {
 public:
  struct Free {
    // OpenSSL takes a connection that was not closed for a failed one, and will not resume its
    // session; one that did fail has marked that itself.
    void operator()(SSL* ssl) const {
      SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
      SSL_free(ssl);
    }
  };
  using Handle = std::unique_ptr<SSL, Free>;

  // `ssl` knows its role and whom to expect; `socket` outlives this.
  TlsSocket(Handle ssl, Socket& socket);

  // What the socket has to become before the same call can go on.
  enum class Wants { nothing, readable, writable };

  // Each does what it can at once. An error is stream_truncated if the connection ended without
  // the peer's saying so, eof if it did, else the system's or OpenSSL's.
  Wants shake_hands(error_code& ec);
  // At least one byte, unless it wants something.
  Wants read(std::span<char> room, std::size_t& got, error_code& ec);
  // Removes from `buffers` what was sent; after Wants it is to be called with the same.
  Wants write(Buffers& buffers, error_code& ec);
  // Tells the peer that nothing follows, without which the end looks like a cut. Of no use after an
  // error.
  Wants say_goodbye(error_code& ec);
  // What the peer has said, without taking it; gone: it said goodbye, or went without.
  PeerState peek();

  // True if a read has something to say without the socket: bytes that nobody has asked for yet,
  // or how the connection ended behind those that were read.
  bool has_pending() const { return ended_ || SSL_has_pending(ssl_.get()) == 1; }
  SSL* native_handle() const { return ssl_.get(); }

 private:
  bool begin(error_code& ec);
  Wants judge(int result, error_code& ec) const;

  Handle ssl_;
  Socket& socket_;
  bool ended_ = false;  // behind the bytes that were read last
};

}  // namespace spillway::server
