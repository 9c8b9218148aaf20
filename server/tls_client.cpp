#include "server/tls_client.hpp"

#include <fmt/format.h>
#include <openssl/ssl.h>

#include <boost/system/system_error.hpp>
#include <new>
#include <set>
#include <utility>

namespace spillway::server {

namespace {

// Where an SSL object keeps the address of its origin's session slot.
int slot_index() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

bool is_address(const std::string& host) {
  error_code ec;
  asio::ip::make_address(host, ec);
  return !ec;
}

}  // namespace

std::unique_ptr<TlsSocket> TlsClient::make_socket(Socket& socket, const Origin& origin) {
  TlsSocket::Handle ssl(SSL_new(context_for(origin.ca_file).native_handle()));
  if (!ssl) throw std::bad_alloc();
  SSL_set_connect_state(ssl.get());
  expect(ssl.get(), origin);
  return std::make_unique<TlsSocket>(std::move(ssl), socket);
}

std::unique_ptr<TlsStream> TlsClient::make_stream(AsioSocket& socket, const Origin& origin) {
  auto stream = std::make_unique<TlsStream>(socket, context_for(origin.ca_file));
  expect(stream->native_handle(), origin);
  return stream;
}

// That it is the origin that answers.
void TlsClient::expect(SSL* ssl, const Origin& origin) {
  SSL_set_verify(ssl, SSL_VERIFY_PEER, nullptr);
  const bool address = is_address(origin.host);
  const char* host = origin.host.c_str();
  const int set =
      address ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) : SSL_set1_host(ssl, host);
  if (set != 1) throw boost::system::system_error(asio::error::invalid_argument, "its host");
  if (!address) SSL_set_tlsext_host_name(ssl, host);
  SessionSlot& slot = sessions_[origin];
  SSL_set_ex_data(ssl, slot_index(), &slot);
  if (slot) SSL_set_session(ssl, slot.get());
}

asio::ssl::context& TlsClient::context_for(const std::string& ca_file) {
  auto& context = contexts_[ca_file];
  if (context) return *context;
  auto made = std::make_unique<asio::ssl::context>(asio::ssl::context::tls_client);
  if (ca_file.empty())
    made->set_default_verify_paths();
  else
    made->load_verify_file(ca_file);
  SSL_CTX* native = made->native_handle();
  SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION);
  SSL_CTX_set_session_cache_mode(native, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(native, &TlsClient::on_new_session);
  context = std::move(made);
  return *context;
}

void TlsClient::forget_named_authorities() {
  std::erase_if(contexts_, [](const auto& context) { return !context.first.empty(); });
  for (auto& [origin, slot] : sessions_)
    if (!origin.ca_file.empty()) slot.reset();
}

int TlsClient::on_new_session(SSL* ssl, SSL_SESSION* session) {
  auto* slot = static_cast<SessionSlot*>(SSL_get_ex_data(ssl, slot_index()));
  if (!slot) return 0;
  slot->reset(session);  // takes over the reference that a return of 1 leaves with us
  return 1;
}

std::string TlsClient::verification_problem(SSL* ssl) {
  const long result = SSL_get_verify_result(ssl);
  return result == X509_V_OK ? std::string() : X509_verify_cert_error_string(result);
}

std::vector<std::string> unusable_ca_files(const Config& config) {
  std::vector<std::string> problems;
  std::set<std::string> looked_at{""};
  for (const Deployment& deployment : config.deployments) {
    const std::string& file = deployment.origin.ca_file;
    if (!deployment.usable() || !looked_at.insert(file).second) continue;
    asio::ssl::context context(asio::ssl::context::tls_client);
    error_code ec;
    context.load_verify_file(file, ec);
    if (ec)
      problems.push_back(
          fmt::format("ssl_verify of {}: {} holds no certificates", deployment.id, file));
  }
  return problems;
}

}  // namespace spillway::server
