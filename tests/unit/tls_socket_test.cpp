#include "server/tls_socket.hpp"

#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <memory>
#include <string>

#include "socket_pair.hpp"

namespace spillway::server {
namespace {

using Wants = TlsSocket::Wants;

struct FreeContext {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};

// Two ends that have shaken hands. Without certificates, which are tested elsewhere.
class Ends {
 public:
  Ends() {
    there_.open(connected_to(here_));
    SSL_CTX* const context = context_.get();
    SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION);
    REQUIRE(SSL_CTX_set_cipher_list(context, "AECDH@SECLEVEL=0") == 1);
    client = std::make_unique<TlsSocket>(TlsSocket::Handle(SSL_new(context)), here_);
    server = std::make_unique<TlsSocket>(TlsSocket::Handle(SSL_new(context)), there_);
    SSL_set_connect_state(client->native_handle());
    SSL_set_accept_state(server->native_handle());
    error_code ec;
    for (bool done = false; !done;) {
      const bool one = client->shake_hands(ec) == Wants::nothing;
      REQUIRE_FALSE(ec);
      const bool other = server->shake_hands(ec) == Wants::nothing;
      REQUIRE_FALSE(ec);
      done = one && other;
    }
  }
  void close_there() { there_.close(); }
  // The kernel refuses what the client writes, but only once the loop's round is over.
  void write_in_vain() {
    error_code ec;
    here_.end_sending(ec);
    bool written = false;
    Socket other(loop_, [] {});
    Socket another(loop_, [&] {
      Buffers buffers(1, asio::const_buffer("x", 1));
      written = client->write(buffers, ec) == Wants::nothing && !ec;
    });
    const Descriptor to_other = connected_to(other);
    const Descriptor to_another = connected_to(another);
    other.watch();
    another.watch();
    REQUIRE((::write(to_another.get(), "?", 1) == 1 && ::write(to_other.get(), "?", 1) == 1));
    while (loop_.poll()) {
    }
    CHECK(written);
  }
  // Until the kernel takes no more from the client; not in TLS, for nobody reads it.
  void fill_here() {
    const std::string much(1024 * 1024, 'x');
    const asio::const_buffer bytes = asio::buffer(much);
    error_code ec;
    while (!ec) here_.write_some({&bytes, 1}, ec);
    CHECK(ec == asio::error::would_block);
  }

 private:
  WorkerLoop loop_;
  Socket here_{loop_, nullptr};
  Socket there_{loop_, nullptr};
  std::unique_ptr<SSL_CTX, FreeContext> context_{SSL_CTX_new(TLS_method())};

 public:
  std::unique_ptr<TlsSocket> client;
  std::unique_ptr<TlsSocket> server;
};

TEST_CASE("what one end writes the other reads") {
  Ends ends;
  const std::string head = "head ", body = "and body";
  const std::string_view pieces[] = {head, body};
  Buffers buffers = as_buffers(pieces);
  error_code ec;
  CHECK(ends.client->write(buffers, ec) == Wants::nothing);
  CHECK(buffers.empty());
  std::string read(100, '\0');
  std::size_t got = 0;
  CHECK(ends.server->read(read, got, ec) == Wants::nothing);
  CHECK(read.substr(0, got) == "head and body");
  CHECK(ends.server->read(read, got, ec) == Wants::readable);
  CHECK_FALSE(ec);
}

TEST_CASE("what the kernel refuses later is told to whoever reads or writes then") {
  Ends ends;
  ends.write_in_vain();
  error_code ec;
  SECTION("who reads") {
    std::string read(100, '\0');
    std::size_t got = 0;
    CHECK(ends.client->read(read, got, ec) == Wants::nothing);
  }
  SECTION("who writes") {
    Buffers buffers(1, asio::const_buffer("x", 1));
    CHECK(ends.client->write(buffers, ec) == Wants::nothing);
  }
  CHECK(ec == asio::error::broken_pipe);
}

TEST_CASE("a goodbye that the kernel does not take waits until it does") {
  Ends ends;
  ends.fill_here();
  error_code ec;
  CHECK(ends.client->say_goodbye(ec) == Wants::writable);
  CHECK(ends.client->say_goodbye(ec) == Wants::writable);
  CHECK_FALSE(ec);
}

TEST_CASE("a goodbye is an orderly end, and an end without one is not") {
  const bool orderly = GENERATE(true, false);
  Ends ends;
  error_code ec;
  if (orderly) CHECK(ends.server->say_goodbye(ec) == Wants::nothing);
  ends.close_there();
  std::string read(100, '\0');
  std::size_t got = 0;
  CHECK(ends.client->read(read, got, ec) == Wants::nothing);
  CHECK((ec == asio::error::eof) == orderly);
  CHECK(ec);
}

TEST_CASE("a write to an end that is gone is an error") {
  Ends ends;
  ends.close_there();
  const std::string text = "text";
  error_code ec;
  Buffers buffers(1, asio::buffer(text));
  CHECK(ends.client->write(buffers, ec) == Wants::nothing);
  CHECK(ec == asio::error::broken_pipe);
  CHECK(size_of(buffers) == text.size());
}

}  // namespace
}  // namespace spillway::server
