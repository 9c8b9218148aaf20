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
#include "server/listening_socket.hpp"
#include "server/memory_guard.hpp"
#include "server/reloader.hpp"
#include "server/shared_state.hpp"
#include "server/snapshot.hpp"
#include "server/successor.hpp"
#include "server/supervisor.hpp"
#include "server/tls_listener.hpp"
#include "server/worker.hpp"

namespace spillway::server {

// What a gateway begins with.
struct Launch {
  ConfigurationSource source;
  ConfigurationSource::Reading in_use;  // what `source` gave when it was read first; it is fit
  ProgramCall call;                     // what starts the program again
  Inheritance inherited;
};

class Gateway final : private Reloader::Host {
 public:
  explicit Gateway(Launch launch);
  ~Gateway() override;

  // Listens, on an inherited socket if there is one: HOST:PORT, or an error that says why not.
  std::expected<std::string, std::string> listen();

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
  void listen_for_signals();
  void wait_for_signal();
  void on_signal(int number);
  void become_ready();
  void reopen_logs();
  void replace();
  void on_successor(const Successor::Outcome& outcome);
  void stop();
  void leave(Worker::Leaving why, Duration notice);
  void stop_accepting();
  void drain();

  const Config& running() const override { return snapshot_->config; }
  std::string use(Config next) override;
  bool exposed() const override { return is_exposed(acceptor_); }
  void reload_begins() override;
  void reload_ended() override;

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
  Inheritance inherited_;
  Reloader reloader_;
  Successor successor_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<std::thread> threads_;
  std::size_t max_connections_ = 0;
  std::size_t workers_ended_ = 0;
  bool told_to_stop_ = false;
  bool leaving_ = false;
  bool accepting_ = true;
  bool ipv6_ = false;  // clients come over it
};

}  // namespace spillway::server
