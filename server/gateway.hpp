// The whole process: workers, the listener, signals, and the configuration in use.
#pragma once

#include <boost/asio/signal_set.hpp>
#include <expected>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "server/admission.hpp"
#include "server/asio.hpp"
#include "server/memory_guard.hpp"
#include "server/shared_state.hpp"
#include "server/snapshot.hpp"
#include "server/tls_listener.hpp"
#include "server/worker.hpp"

namespace spillway::server {

class Gateway {
 public:
  explicit Gateway(Config config);
  ~Gateway();

  // Binds and listens; the port that was taken, or an error that says which address could not be
  // had.
  std::expected<std::uint16_t, std::string> listen();

  // Serves until SIGTERM or SIGINT, then drains. The process's exit code.
  int run();

  // --- from any worker ---
  std::string render_metrics(const Snapshot& snapshot, Fleet& fleet, TimePoint now) const;
  Admission& admission() { return admission_; }
  MemoryGuard& memory() { return memory_; }
  void worker_ended();
  // nullptr: clients are spoken to in plain text.
  std::unique_ptr<TlsSocket> make_tls(Socket& socket) const {
    return tls_ ? tls_->make_socket(socket) : nullptr;
  }

 private:
  Awaitable<void> accept_clients();
  void hand_over(Socket socket);
  void wait_for_signal();
  void begin_drain();

  std::unique_ptr<SharedState> shared_;  // nullptr: this instance is alone
  SnapshotPtr snapshot_;
  std::unique_ptr<TlsListener> tls_;  // nullptr: plain text
  Admission admission_;
  MemoryGuard memory_;
  asio::io_context io_{1};  // the main thread's: accepting and signals
  Acceptor acceptor_{io_};
  asio::basic_signal_set<Executor> signals_{io_};
  Timer accept_pause_{io_};
  Timer drain_timer_{io_};
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<std::thread> threads_;
  std::size_t max_connections_ = 0;
  std::size_t workers_ended_ = 0;
  bool draining_ = false;
};

}  // namespace spillway::server
