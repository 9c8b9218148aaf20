// TLS towards providers: verified always, TLS 1.2 or later, sessions resumed per origin. Per
// worker.
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/config.hpp"
#include "server/asio.hpp"
#include "server/tls_socket.hpp"

namespace spillway::server {

using TlsStream = asio::ssl::stream<AsioSocket&>;

class TlsClient {
 public:
  // TLS over `socket`, ready for its handshake: server name, host name verification and a session
  // to resume are set. Both throw boost::system::system_error if the origin's CA file cannot be
  // read.
  std::unique_ptr<TlsSocket> make_socket(Socket& socket, const Origin& origin);
  std::unique_ptr<TlsStream> make_stream(AsioSocket& socket, const Origin& origin);

  // From now on the authorities' files are read again, and whoever is called shows a certificate
  // again. Connections that are open stay.
  void forget_named_authorities();

  // Why the peer's certificate was refused, for logs; empty if that is not what failed.
  static std::string verification_problem(SSL* ssl);

 private:
  struct SessionDeleter {
    void operator()(SSL_SESSION* session) const { SSL_SESSION_free(session); }
  };
  using SessionSlot = std::unique_ptr<SSL_SESSION, SessionDeleter>;

  void expect(SSL* ssl, const Origin& origin);
  asio::ssl::context& context_for(const std::string& ca_file);
  static int on_new_session(SSL* ssl, SSL_SESSION* session);

  std::map<std::string, std::unique_ptr<asio::ssl::context>> contexts_;  // by CA file
  std::map<Origin, SessionSlot> sessions_;                               // latest of each origin
};

// What is wrong with the CA files of the configuration's deployments, a line each.
std::vector<std::string> unusable_ca_files(const Config& config);

}  // namespace spillway::server
