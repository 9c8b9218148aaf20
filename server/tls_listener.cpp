#include "server/tls_listener.hpp"

#include <fmt/format.h>
#include <openssl/err.h>
#include <sys/stat.h>

#include <new>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "config/document.hpp"
#include "core/bounds.hpp"
#include "server/log.hpp"

namespace spillway::server {

namespace {

// For TLS 1.2: forward secrecy and authenticated encryption only. TLS 1.3 has nothing else.
constexpr const char* kCiphers = "ECDHE+AESGCM:ECDHE+CHACHA20";
constexpr std::string_view kHttp11 = "http/1.1";
constexpr unsigned char kSessionContext[] = "spillway";

enum class Pem : std::uint8_t { certificate, key };

// Of a text that OpenSSL, whose errors are queued, has not made what was wanted of.
std::string what_is_wrong(std::string_view text, Pem wanted) {
  const unsigned long first = ERR_get_error();
  const bool mismatch =
      ERR_GET_LIB(first) == ERR_LIB_X509 && (ERR_GET_REASON(first) == X509_R_KEY_VALUES_MISMATCH ||
                                             ERR_GET_REASON(first) == X509_R_KEY_TYPE_MISMATCH);
  if (mismatch) return "holds a key that does not belong to the certificate";
  const auto holds = [text](std::string_view part) {
    return text.find(part) != std::string_view::npos;
  };
  const bool key = wanted == Pem::key;
  if (!holds(key ? "PRIVATE KEY-----" : "CERTIFICATE-----"))
    return fmt::format("holds no PEM {}", key ? "key" : "certificate");
  if (key && holds("ENCRYPTED"))
    return "holds an encrypted key, and there is nobody to be asked for its passphrase";
  const char* const reason = ERR_reason_error_string(first);
  return fmt::format("holds a {} that is damaged or not supported ({})",
                     key ? "key" : "certificate", reason ? reason : "without a reason");
}

std::unexpected<std::string> unusable(const NamedFile& file, std::string_view why) {
  return std::unexpected(fmt::format("{}: {} {}", file.setting, file.path, why));
}

// `use` reads the file by its name, and tells whether it could.
template <typename Use>
std::expected<void, std::string> read_pem(const NamedFile& file, Pem wanted, Use use) {
  auto text = config::read_text(file.path);  // or OpenSSL would wait for a pipe's other end
  if (!text) return unusable(file, text.error());
  ERR_clear_error();
  std::string wrong;
  if (!use(file.path.c_str())) wrong = what_is_wrong(*text, wanted);
  OPENSSL_cleanse(text->data(), text->size());
  if (!wrong.empty()) return unusable(file, wrong);
  return {};
}

// Nobody is there to be asked.
int no_passphrase(char*, int, int, void*) {
  return -1;
}

// A client that does not offer ALPN speaks HTTP/1.1; one that offers other protocols only is told
// that there is none in common (RFC 7301 section 3.2).
int choose_protocol(SSL*, const unsigned char** chosen, unsigned char* chosen_size,
                    const unsigned char* offered, unsigned offered_size, void*) {
  const std::string_view offers(reinterpret_cast<const char*>(offered), offered_size);
  for (std::size_t at = 0; at < offers.size();) {
    const std::size_t size = offered[at++];
    if (offers.substr(at, size) == kHttp11) {
      *chosen = offered + at;
      *chosen_size = static_cast<unsigned char>(size);
      return SSL_TLSEXT_ERR_OK;
    }
    at += size;
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

void set_rules(SSL_CTX* context, const TlsSettings& settings) {
  const bool newest_only = settings.min_version == TlsVersion::v1_3;
  SSL_CTX_set_min_proto_version(context, newest_only ? TLS1_3_VERSION : TLS1_2_VERSION);
  SSL_CTX_set_cipher_list(context, kCiphers);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  // Sessions are the clients' to keep, as tickets: nothing here grows with their number.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_session_id_context(context, kSessionContext, sizeof kSessionContext - 1);
  SSL_CTX_set_alpn_select_cb(context, choose_protocol, nullptr);
  SSL_CTX_set_default_passwd_cb(context, no_passphrase);
}

std::int64_t end_of(const X509* certificate) {
  tm end{};
  if (!certificate || ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &end) != 1) return 0;
  return timegm(&end);
}

}  // namespace

std::expected<TlsListener::Context, std::string> TlsListener::read(const TlsSettings& settings) {
  Context context(SSL_CTX_new(TLS_server_method()));
  if (!context) throw std::bad_alloc();
  SSL_CTX* raw = context.get();
  set_rules(raw, settings);
  auto done = read_pem(settings.certificate, Pem::certificate, [raw](const char* file) {
    return SSL_CTX_use_certificate_chain_file(raw, file) == 1;
  });
  if (!done) return std::unexpected(std::move(done.error()));
  done = read_pem(settings.key, Pem::key, [raw](const char* file) {
    return SSL_CTX_use_PrivateKey_file(raw, file, SSL_FILETYPE_PEM) == 1;
  });
  if (!done) return std::unexpected(std::move(done.error()));
  if (SSL_CTX_check_private_key(raw) != 1)  // one of another kind
    return unusable(settings.key, "holds a key that does not belong to the certificate");
  if (settings.client_ca.empty()) return context;
  done = read_pem(settings.client_ca, Pem::certificate, [raw](const char* file) {
    if (SSL_CTX_load_verify_file(raw, file) != 1) return false;
    STACK_OF(X509_NAME)* const names = SSL_load_client_CA_file(file);
    SSL_CTX_set_client_CA_list(raw, names);  // which owns them from here on
    return names != nullptr;
  });
  if (!done) return std::unexpected(std::move(done.error()));
  SSL_CTX_set_verify(raw, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  return context;
}

TlsListener::Stamps TlsListener::stamps_of(const TlsSettings& settings) {
  const auto stamp = [](const NamedFile& file) {
    struct stat about {};
    if (file.empty() || ::stat(file.path.c_str(), &about) != 0) return Stamp{};
    return Stamp{static_cast<std::int64_t>(about.st_dev), static_cast<std::int64_t>(about.st_ino),
                 about.st_size, about.st_mtim.tv_sec, about.st_mtim.tv_nsec};
  };
  return {stamp(settings.certificate), stamp(settings.key), stamp(settings.client_ca)};
}

TlsListener::TlsListener(TlsSettings settings)
    : settings_(std::move(settings)), tried_(stamps_of(settings_)), seen_(tried_) {
  auto context = read(settings_);
  if (!context) throw std::runtime_error(context.error());
  use(std::move(*context));
}

bool TlsListener::reload(TlsSettings settings) {
  const Stamps stamps =
      stamps_of(settings);  // before reading: what changes meanwhile is read again
  auto context = read(settings);
  // Files that stay unused say nothing about those that are looked at.
  if (context || settings == settings_) tried_ = stamps;
  if (!context) {
    failed_.fetch_add(1, std::memory_order_relaxed);
    log_warn(fmt::format("{}; the certificate before stays in use", context.error()));
    return false;
  }
  settings_ = std::move(settings);
  use(std::move(*context));
  return true;
}

void TlsListener::use(Context context) {
  const X509* certificate = SSL_CTX_get0_certificate(context.get());
  if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0)
    log_warn(fmt::format("spillway.tls: certificate {}: has expired", settings_.certificate.path));
  expires_at_.store(end_of(certificate), std::memory_order_relaxed);
  loaded_.fetch_add(1, std::memory_order_relaxed);
  looks_ = 0;
  const std::lock_guard lock(guard_);
  context_.swap(context);
}

Awaitable<void> TlsListener::watch_files(asio::io_context& io) {
  Timer timer(io);
  error_code ec;
  while (!ec) {
    timer.expires_after(bounds::kTlsFilesLook);
    co_await timer.async_wait(to(ec));
    if (!ec) look_at_files();
  }
}

// A certificate and its key are not written at one moment: what has changed since the last look is
// left alone until the next.
void TlsListener::look_at_files() {
  const Stamps now = stamps_of(settings_);
  const bool settled = now == seen_;
  seen_ = now;
  const bool old_keys = ++looks_ >= bounds::kTlsTicketKeys / bounds::kTlsFilesLook;
  if (!settled || (now == tried_ && !old_keys)) return;
  looks_ = 0;
  if (reload(settings_) && !old_keys)
    log_info(fmt::format("spillway.tls: certificate {} has changed, and is in use",
                         settings_.certificate.path));
}

std::unique_ptr<TlsSocket> TlsListener::make_socket(Socket& socket) const {
  std::unique_lock lock(guard_);
  SSL_CTX_up_ref(context_.get());
  const Context context(context_.get());
  lock.unlock();
  TlsSocket::Handle ssl(SSL_new(context.get()));
  if (!ssl) throw std::bad_alloc();
  SSL_set_accept_state(ssl.get());
  return std::make_unique<TlsSocket>(std::move(ssl), socket);
}

CertificateCounts TlsListener::counts() const {
  CertificateCounts counts;
  counts.loaded = loaded_.load(std::memory_order_relaxed);
  counts.failed = failed_.load(std::memory_order_relaxed);
  counts.expires_at = expires_at_.load(std::memory_order_relaxed);
  return counts;
}

std::optional<std::string> tls_problem(const Config& config) {
  if (!config.tls) return std::nullopt;
  const auto context = TlsListener::read(*config.tls);
  if (context) return std::nullopt;
  return context.error();
}

}  // namespace spillway::server
