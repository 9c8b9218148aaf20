#include "server/tls_socket.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>

#include <algorithm>
#include <array>
#include <boost/asio/ssl/error.hpp>
#include <cerrno>
#include <new>

namespace spillway::server {

namespace {

// Pieces are put together up to the size of a record; larger ones are encrypted where they lie.
constexpr std::size_t kRecordBytes = 16 * 1024;
// Then others have their turn, even if the socket would take more.
constexpr unsigned kRecordsAtOnce = 16;

error_code first_queued_error() {
  const unsigned long first = ERR_get_error();
  // A connection that failed before says so without a reason.
  const bool truncated =
      first == 0 || (ERR_GET_LIB(first) == ERR_LIB_SSL &&
                     ERR_GET_REASON(first) == SSL_R_UNEXPECTED_EOF_WHILE_READING);
  if (truncated) return asio::ssl::error::stream_truncated;
  return {static_cast<int>(first), asio::error::get_ssl_category()};
}

// --- what OpenSSL does with the socket (BIO_meth_new(3)) ---
// A failure is -1, as with OpenSSL's own: 0 from a write is a success to it.

// Where judge() finds it.
void leave_errno(const error_code& ec) {
  if (ec.category() == asio::error::get_system_category()) errno = ec.value();
}

int read_socket(BIO* bio, char* data, std::size_t size, std::size_t* got) {
  error_code ec;
  *got = static_cast<Socket*>(BIO_get_data(bio))->read_some({data, size}, ec);
  BIO_clear_flags(bio, BIO_FLAGS_RWS | BIO_FLAGS_SHOULD_RETRY | BIO_FLAGS_IN_EOF);
  if (ec == asio::error::would_block || ec == asio::error::interrupted) BIO_set_retry_read(bio);
  if (ec == asio::error::eof) BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
  leave_errno(ec);
  return ec ? -1 : 1;
}

int write_socket(BIO* bio, const char* data, std::size_t size, std::size_t* sent) {
  error_code ec;
  const asio::const_buffer bytes(data, size);
  *sent = static_cast<Socket*>(BIO_get_data(bio))->write_some({&bytes, 1}, ec);
  BIO_clear_retry_flags(bio);
  if (ec == asio::error::would_block || ec == asio::error::interrupted) BIO_set_retry_write(bio);
  leave_errno(ec);
  return ec ? -1 : 1;
}

long control_socket(BIO* bio, int what, long, void*) {
  switch (what) {
    case BIO_CTRL_EOF:
      return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0 ? 1 : 0;
    case BIO_CTRL_FLUSH:  // nothing is held back
      return 1;
    default:
      return 0;
  }
}

BIO* bio_of(Socket& socket) {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* const made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket");
    if (!made) throw std::bad_alloc();
    BIO_meth_set_read_ex(made, read_socket);
    BIO_meth_set_write_ex(made, write_socket);
    BIO_meth_set_ctrl(made, control_socket);
    return made;
  }();
  BIO* const bio = BIO_new(method);
  if (!bio) throw std::bad_alloc();
  BIO_set_data(bio, &socket);
  BIO_set_init(bio, 1);
  return bio;
}

}  // namespace

TlsSocket::TlsSocket(Handle ssl, Socket& socket) : ssl_(std::move(ssl)), socket_(socket) {
  BIO* const bio = bio_of(socket);
  SSL_set_bio(ssl_.get(), bio, bio);  // which owns it
  SSL_set_mode(ssl_.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                               SSL_MODE_RELEASE_BUFFERS);
  SSL_set_read_ahead(ssl_.get(), 1);  // a record's head and body with one read
}

// False once the socket is closed.
bool TlsSocket::begin(error_code& ec) {
  ec = {};
  if (!socket_.is_open()) ec = asio::error::operation_aborted;
  ERR_clear_error();
  errno = 0;
  return !ec;
}

TlsSocket::Wants TlsSocket::judge(int result, error_code& ec) const {
  const int system_error = errno;
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      return Wants::readable;
    case SSL_ERROR_WANT_WRITE:
      return Wants::writable;
    case SSL_ERROR_ZERO_RETURN:
      ec = asio::error::eof;
      break;
    case SSL_ERROR_SYSCALL:
      ec = error_code(system_error, asio::error::get_system_category());
      if (!ec) ec = asio::ssl::error::stream_truncated;
      break;
    default:
      ec = first_queued_error();
      break;
  }
  return Wants::nothing;
}

TlsSocket::Wants TlsSocket::shake_hands(error_code& ec) {
  if (!begin(ec)) return Wants::nothing;
  const int result = SSL_do_handshake(ssl_.get());
  return result == 1 ? Wants::nothing : judge(result, ec);
}

TlsSocket::Wants TlsSocket::read(std::span<char> room, std::size_t& got, error_code& ec) {
  got = 0;
  do {
    if (!begin(ec)) break;
    std::size_t n = 0;
    const int result = SSL_read_ex(ssl_.get(), room.data() + got, room.size() - got, &n);
    got += n;
    if (result == 1) continue;
    const Wants wants = judge(result, ec);
    if (got == 0) return wants;
    // What came before is used first; the end is met again.
    ended_ = ended_ || ec;
    ec = {};
    return Wants::nothing;
  } while (got < room.size() && has_pending());
  return Wants::nothing;
}

TlsSocket::Wants TlsSocket::write(Buffers& buffers, error_code& ec) {
  for (unsigned records = 0; begin(ec) && !buffers.empty(); ++records) {
    if (records == kRecordsAtOnce) return Wants::writable;
    std::array<char, kRecordBytes> record;
    asio::const_buffer next = buffers.front();
    if (buffers.size() > 1 && next.size() < record.size())
      next = asio::buffer(record.data(), asio::buffer_copy(asio::buffer(record), buffers));
    std::size_t sent = 0;
    const int result = SSL_write_ex(ssl_.get(), next.data(), next.size(), &sent);
    if (result != 1) return judge(result, ec);
    consume(buffers, sent);
  }
  return Wants::nothing;
}

TlsSocket::Wants TlsSocket::say_goodbye(error_code& ec) {
  if (!begin(ec)) return Wants::nothing;
  const int result = SSL_shutdown(ssl_.get());
  return result >= 0 ? Wants::nothing : judge(result, ec);
}

PeerState TlsSocket::peek() {
  error_code ec;
  if (!begin(ec)) return PeerState::gone;
  char byte = 0;
  std::size_t n = 0;
  const int result = SSL_peek_ex(ssl_.get(), &byte, 1, &n);
  if (result == 1) return PeerState::has_data;
  return judge(result, ec) == Wants::nothing ? PeerState::gone : PeerState::open;
}

}  // namespace spillway::server
