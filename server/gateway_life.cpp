// How the process lives: what signals ask of it, how it stops, and how another takes over.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "server/gateway.hpp"
#include "server/log.hpp"
#include "server/log_files.hpp"

namespace spillway::server {

namespace {

// Between telling clients that their answers are cut, cutting off who does not listen, and leaving
// anyway.
constexpr Duration kCutPatience = seconds(2);
constexpr Duration kLastPatience = milliseconds(500);
// For clients of a process that is replaced to send another request, and hear that it was the last.
constexpr Duration kReplacedNotice = seconds(2);
constexpr Duration kWorkersLook = seconds(1);
constexpr std::array kSignals = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2};

// True if one of the standard streams is a terminal that nobody sits at any more.
bool terminal_has_gone() {
  return std::ranges::any_of(std::array{STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO},
                             [](int stream) { return ::isatty(stream) == 0 && errno == EIO; });
}

}  // namespace

void Gateway::listen_for_signals() {
  for (const int number : kSignals) signals_.add(number);
  wait_for_signal();
}

// A signal that comes while the process is already ending changes nothing any more.
Gateway::~Gateway() {
  error_code ignored;
  signals_.clear(ignored);
  for (const int number : kSignals) ::signal(number, SIG_IGN);
}

void Gateway::become_ready() {
  // Whoever this process replaces tells the supervisor itself: it is still the one that is heard.
  if (inherited_.ready < 0) return tell_supervisor("READY=1");
  constexpr char kReady = '1';
  const bool heard = ::write(inherited_.ready, &kReady, 1) == 1;
  ::close(inherited_.ready);
  if (heard) return;
  // Nobody is served by whoever was given up.
  log_error("the predecessor does not wait for this process any more");
  shut_down_logs();
  ::_exit(1);
}

// A supervisor that wants signs of life gets them while all threads give theirs.
Awaitable<void> Gateway::watch_workers() {
  Timer timer(io_);
  error_code ec;
  while (!ec && !leaving_) {
    timer.expires_after(kWorkersLook);
    co_await timer.async_wait(to(ec));
    if (leaving_) break;
    std::size_t stuck = 0;
    each_listener([&stuck](Listener& listener) { stuck += listener.look_after_workers(); });
    stuck_workers_.store(stuck, std::memory_order_relaxed);
    if (stuck == 0 && is_watched_by_supervisor()) tell_supervisor("WATCHDOG=1");
  }
}

void Gateway::wait_for_signal() {
  signals_.async_wait([this](error_code ec, int number) {
    if (ec) return;
    wait_for_signal();  // first: what is done about this one may fail
    on_signal(number);
  });
}

void Gateway::on_signal(int number) {
  switch (number) {
    case SIGHUP:
      // Whoever closes a terminal ends what runs in it.
      if (terminal_has_gone()) return stop();
      return reloader_.reload("SIGHUP");
    case SIGUSR1:
      return reopen_logs();
    case SIGUSR2:
      return replace();
    default:
      return stop();
  }
}

void Gateway::reopen_logs() {
  const std::vector<std::string> problems = reopen_log_files();
  for (const std::string& problem : problems)
    log_warn(fmt::format("SIGUSR1: the log goes on as it was: {}", problem));
  if (problems.empty()) log_info("SIGUSR1: log files were opened again");
}

// The program is started anew, beside this process, and takes over when it is ready.
void Gateway::replace() {
  if (leaving_) return;
  if (::getpid() == 1)
    return log_warn("SIGUSR2: process 1 cannot be replaced: its end is that of the container");
  if (successor_.starting()) return log_warn("SIGUSR2: the new program is being started already");
  log_info("SIGUSR2: starting the program anew");
  std::vector<NamedSocket> sockets;
  sockets.push_back({clients_->socket(), std::string(kClientsSocket)});
  if (admin_) sockets.push_back({admin_->socket(), std::string(kAdminSocket)});
  successor_.start(sockets);
}

void Gateway::on_successor(const Successor::Outcome& outcome) {
  if (!outcome)
    return log_warn(
        fmt::format("this process goes on, the new one does not serve: {}", outcome.error()));
  log_info(fmt::format("process {} serves; this one ends with its last request", *outcome));
  tell_supervisor(fmt::format("MAINPID={}\nREADY=1", *outcome));
  each_listener([](Listener& listener) { listener.stop_accepting(); });
  leave(Worker::Leaving::replaced, kReplacedNotice);
}

void Gateway::stop() {
  if (told_to_stop_) {  // a second signal: the operator does not want to wait
    log_warn("second signal: exiting at once");
    shut_down_logs();
    ::_exit(0);
  }
  told_to_stop_ = true;
  if (leaving_) return log_info("this process is draining already");
  successor_.give_up();
  if (leaving_) return;  // it serves already, and this one ends anyhow
  tell_supervisor("STOPPING=1");
  leave(Worker::Leaving::for_good, running().timeouts.drain_delay);
}

// Whoever sends requests here can notice, within `notice`, that they should go elsewhere.
void Gateway::leave(Worker::Leaving why, Duration notice) {
  leaving_ = true;
  reloader_.stop();
  each_listener([why](Listener& listener) { listener.leave(why); });
  if (notice == Duration::zero()) return drain();
  if (clients_->accepting())
    log_info("not ready any more: new connections are accepted for a while");
  drain_timer_.expires_after(notice);
  drain_timer_.async_wait([this](error_code ec) {
    if (!ec) drain();
  });
}

void Gateway::reload_begins() {
  tell_supervisor_reloading(&Worker::now);
}

void Gateway::reload_ended() {
  tell_supervisor("READY=1");
}

void Gateway::drain() {
  log_info("draining: no new connections, running requests may finish");
  clients_->drain();
  if (admin_ && !admin_->accepting()) admin_->drain();  // the successor has one
  drain_timer_.expires_after(snapshot_->config.timeouts.drain);
  drain_timer_.async_wait([this](error_code ec) {
    if (ec) return;
    log_warn("the grace period is over: closing what is still running");
    admission_.close();  // what one leaves another must not take
    each_listener([](Listener& listener) { listener.cut(); });
    drain_timer_.expires_after(kCutPatience);
    drain_timer_.async_wait([this](error_code late) {
      if (!late) cut_off();
    });
  });
}

// Whoever does not take even the last words. The requests have their lines in the access log.
void Gateway::cut_off() {
  each_listener([](Listener& listener) { listener.cut(); });
  drain_timer_.expires_after(kLastPatience);
  drain_timer_.async_wait([](error_code ec) {
    if (ec) return;
    shut_down_logs();
    ::_exit(0);
  });
}

}  // namespace spillway::server
