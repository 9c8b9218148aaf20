// Host names to addresses, cached per worker. getaddrinfo cannot be cancelled, so callers wait with
// a deadline of their own and walk away; one look-up serves all that ask meanwhile.
//
// Each look-up has a thread of its own, for a name server that is slow about one name must not hold
// up the others; at most kMostLookups run at once. Nothing ever waits for such a thread: one that
// comes back after the resolver is gone finds nobody to tell.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/time.hpp"
#include "server/asio.hpp"

namespace spillway::server {

class Resolver {
 public:
  // `clock` tells the time when a look-up comes back.
  Resolver(asio::io_context& io, TimePoint (*clock)());
  ~Resolver();
  // Before the event loop goes away: look-ups that are under way find nobody to tell.
  void close();
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  struct Answer {
    std::vector<asio::ip::address> addresses;  // never empty when !error
    error_code error;                          // timed_out: the deadline passed first
  };
  // Addresses of `host` (a name or an address), rotated from call to call so that a dead one is not
  // always first. Waits on `waiter`, until it expires or is cancelled by whoever gives up.
  Awaitable<Answer> resolve(std::string host, Timer& waiter, TimePoint now);

 private:
  struct Entry {
    std::vector<asio::ip::address> addresses;
    error_code error;
    TimePoint fresh_until{};
    TimePoint stale_until{};
    unsigned rotation = 0;
    bool running = false;         // or queued
    std::vector<Timer*> waiters;  // cancelled when the answer is there
  };
  class Mailbox;

  void start_queued();
  void store(const std::string& host, error_code ec, std::vector<asio::ip::address> addresses);
  static Answer answer_from(Entry& entry);

  asio::io_context& io_;
  TimePoint (*clock_)();
  std::shared_ptr<Mailbox> mailbox_;      // shared with the threads
  std::map<std::string, Entry> entries_;  // bounded: hosts come from the configuration only
  std::deque<std::string> queued_;
  unsigned running_ = 0;
};

}  // namespace spillway::server
