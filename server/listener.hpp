// An address that clients arrive at, and the workers that serve whoever does: each connection goes
// to the one with the fewest, up to a limit beyond which it waits in the kernel's backlog.
//
// A gateway has one for everybody; or, where spillway.admin is set, one for callers of models and
// one for operators. The two share no worker and no limit, so that neither a flood of callers nor
// their draining keeps the operators' pages from answering, and a flood there reaches no caller.
//
// Operators are few, and their pages are wanted most when something is wrong: whoever holds all of
// their connections without asking anything makes room for those who come.
#pragma once

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "server/asio.hpp"
#include "server/routes.hpp"
#include "server/snapshot.hpp"
#include "server/worker.hpp"

namespace spillway::server {

// Everything is the main thread's, whose event loop is `io`.
class Listener {
 public:
  Listener(Gateway& gateway, asio::io_context& io, Audience audience, unsigned workers);

  // What to accept from.
  void listen(Acceptor acceptor);
  std::string address() const;  // HOST:PORT
  bool exposed() const;         // to others than this machine
  int socket() { return acceptor_.native_handle(); }

  void start();   // the workers' threads
  void accept();  // begins to
  void join();    // waits for the threads
  void use(const SnapshotPtr& snapshot);
  void allow(std::size_t connections) { most_connections_ = connections; }
  void shed();
  // To be called once a second: notes which workers do not come back to their event loops, says so,
  // and gives them no more connections while others do. How many there are.
  std::size_t look_after_workers();

  // The stages of the end, as Worker has them.
  void leave(Worker::Leaving why);
  void stop_accepting();
  void drain();  // stops accepting, too
  void cut();
  bool accepting() const { return accepting_; }
  void worker_ended() { ++ended_; }
  bool ended() const { return ended_ == workers_.size(); }

  const std::vector<std::unique_ptr<Worker>>& workers() const { return workers_; }

 private:
  Awaitable<void> accept_clients();
  std::size_t connections() const;
  void accept_all(error_code& ec);
  void hand_over(Descriptor socket);

  asio::io_context& io_;
  const Audience audience_;
  Acceptor acceptor_;
  Timer accept_pause_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<std::thread> threads_;
  std::size_t most_connections_ = 0;
  std::size_t ended_ = 0;  // workers
  std::size_t stuck_ = 0;  // workers, at the last look
  bool accepting_ = true;
};

}  // namespace spillway::server
