// TLS towards clients: the certificate in use, and that it is read again when its files change.
//
// A context serves the connections that begin with it until they end; a new one takes its place
// when a reload says so, when the files have changed and been left alone for a moment, and after
// kTlsTicketKeys, so that the keys of session tickets change. Files that cannot be used leave the
// old context in place, are logged once, and counted.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <expected>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "core/config.hpp"
#include "server/asio.hpp"
#include "server/metrics.hpp"
#include "server/tls_socket.hpp"

namespace spillway::server {

class TlsListener {
 public:
  // Throws std::runtime_error that says which file is of no use, and why.
  explicit TlsListener(TlsSettings settings);

  // --- main thread ---
  // Reads the files that `settings` name. False: they are of no use, and nothing has changed.
  bool reload(TlsSettings settings);
  // Looks after the files for as long as `io` runs.
  Awaitable<void> watch_files(asio::io_context& io);

  // --- any thread ---
  // A connection's side of TLS, before its handshake.
  std::unique_ptr<TlsSocket> make_socket(Socket& socket) const;

  CertificateCounts counts() const;

 private:
  struct FreeContext {
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  };
  using Context = std::unique_ptr<SSL_CTX, FreeContext>;
  // What tells that a file has changed: device, inode, size, time of change.
  using Stamp = std::array<std::int64_t, 5>;
  using Stamps = std::array<Stamp, 3>;

  friend std::optional<std::string> tls_problem(const Config& config);
  static std::expected<Context, std::string> read(const TlsSettings& settings);
  static Stamps stamps_of(const TlsSettings& settings);
  void use(Context context);
  void look_at_files();

  TlsSettings settings_;
  Stamps tried_{};            // the files' state when they were read last, of use or not
  Stamps seen_{};             // at the last look
  unsigned looks_ = 0;        // since the context in use was made
  mutable std::mutex guard_;  // of context_, for as long as it takes to copy it
  Context context_;
  std::atomic<std::uint64_t> loaded_{0};
  std::atomic<std::uint64_t> failed_{0};
  std::atomic<std::int64_t> expires_at_{0};
};

// What is wrong with the files of the configuration's TLS listener, if it has one.
std::optional<std::string> tls_problem(const Config& config);

}  // namespace spillway::server
