// The whole process: listeners with their workers, signals, and the configuration in use.
#pragma once

#include <atomic>
#include <boost/asio/signal_set.hpp>
#include <expected>
#include <memory>
#include <optional>
#include <string>

#include "server/admission.hpp"
#include "server/asio.hpp"
#include "server/listener.hpp"
#include "server/memory_guard.hpp"
#include "server/reloader.hpp"
#include "server/shared_state.hpp"
#include "server/snapshot.hpp"
#include "server/successor.hpp"
#include "server/supervisor.hpp"
#include "server/tls_listener.hpp"

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

  // HOST:PORT each.
  struct Addresses {
    std::string clients;
    std::string admin;  // empty: there is no admin listener
  };
  // Listens, on inherited sockets where there are any; an error says why not.
  std::expected<Addresses, std::string> listen();

  // Serves until SIGTERM or SIGINT, then drains. The process's exit code.
  int run();

  // --- from any worker ---
  std::string render_metrics(const Snapshot& snapshot, Fleet& fleet, TimePoint now) const;
  Admission& admission() { return admission_; }
  MemoryGuard& memory() { return memory_; }
  void worker_ended(Audience audience);
  // nullptr: clients are spoken to in plain text.
  std::unique_ptr<TlsSocket> make_tls(Socket& socket) const {
    return tls_ ? tls_->make_socket(socket) : nullptr;
  }

 private:
  template <typename Do>
  void each_listener(Do what) const {
    what(*clients_);
    if (admin_) what(*admin_);
  }
  void limit_connections();
  Awaitable<void> watch_workers();
  void listen_for_signals();
  void wait_for_signal();
  void on_signal(int number);
  void become_ready();
  void reopen_logs();
  void replace();
  void on_successor(const Successor::Outcome& outcome);
  void stop();
  void leave(Worker::Leaving why, Duration notice);
  void drain();
  void cut_off();

  const Config& running() const override { return snapshot_->config; }
  std::string use(Config next) override;
  bool exposed() const override;
  void reload_begins() override;
  void reload_ended() override;

  std::unique_ptr<SharedState> shared_;  // nullptr: this instance is alone
  SnapshotPtr snapshot_;
  std::unique_ptr<TlsListener> tls_;  // nullptr: plain text
  Admission admission_;
  MemoryGuard memory_;
  asio::io_context io_{1};  // the main thread's: accepting and signals
  asio::basic_signal_set<Executor> signals_{io_};
  Timer drain_timer_{io_};
  Inheritance inherited_;
  Reloader reloader_;
  Successor successor_;
  std::unique_ptr<Listener> clients_;
  std::unique_ptr<Listener> admin_;  // nullptr: its pages are where the models are
  std::atomic<std::size_t> stuck_workers_{0};
  bool told_to_stop_ = false;
  bool leaving_ = false;
};

}  // namespace spillway::server
