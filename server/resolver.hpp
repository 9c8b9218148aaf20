// Host names to addresses, cached per worker. getaddrinfo runs on a hidden thread and cannot be
// cancelled, so callers wait with a deadline of their own and walk away; one look-up serves all
// that ask meanwhile.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/time.hpp"
#include "server/asio.hpp"

namespace spillway::server {

class Resolver {
 public:
  explicit Resolver(asio::io_context& io) : io_(io), resolver_(io) {}

  struct Answer {
    std::vector<asio::ip::address> addresses;  // never empty when !error
    error_code error;                          // timed_out: the deadline passed first
  };
  // Addresses of `host` (a name or an address), rotated from call to call so that a dead one is not
  // always first.
  Awaitable<Answer> resolve(std::string host, TimePoint deadline, TimePoint now);

 private:
  struct Entry {
    std::vector<asio::ip::address> addresses;
    error_code error;
    TimePoint fresh_until{};
    TimePoint stale_until{};
    unsigned rotation = 0;
    bool running = false;
    std::vector<Timer*> waiters;  // cancelled when the answer is there
  };
  void start(const std::string& host, Entry& entry);
  void store(const std::string& host, error_code ec,
             const asio::ip::basic_resolver_results<Tcp>& results);
  static Answer answer_from(Entry& entry);

  asio::io_context& io_;
  asio::ip::basic_resolver<Tcp, Executor> resolver_;
  std::map<std::string, Entry> entries_;  // bounded: hosts come from the configuration only
  TimePoint now_{};  // of the latest call; look-ups take less than their lifetimes
};

}  // namespace spillway::server
