// Carries a LoadPlan out, on one thread.
//
// A latency counts from the moment at which the request was due. If the generator itself woke late
// that moment is when it did (and `lateness` tells by how much); if no connection was free it is
// the planned one, so that a proxy that stalls is charged with every request that it held up.

#pragma once

#include <cstddef>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "tests/bench/answer_reader.hpp"
#include "tests/bench/load_plan.hpp"

namespace spillway::bench {

class LoadRun {
 public:
  explicit LoadRun(LoadPlan plan);
  Findings run();

 private:
  struct Connection {
    int socket = -1;
    AnswerReader reader;
    std::uint64_t begun_ns = 0;  // 0: no request is on its way
    bool has_event = false;
    std::size_t sent = 0;  // bytes of the request
    bool blocked = false;  // epoll was told that there is more to send
  };

  bool over(std::uint64_t now) const;
  void begin_due(std::uint64_t now);
  void begin_planned(std::uint64_t now);
  void connect();
  void begin(Connection& connection, std::uint64_t due_ns);
  void send(Connection& connection);
  void read(Connection& connection);
  void note(Connection& connection, std::uint64_t now);
  void finish(Connection& connection, std::uint64_t now);
  void lose(Connection& connection);
  void watch(Connection& connection, bool for_writing, int operation);
  void say_ready_once();
  // Until when epoll may wait, in nanoseconds from now.
  std::uint64_t patience(std::uint64_t now) const;

  LoadPlan plan_;
  Findings found_;
  int epoll_;
  std::vector<char> buffer_;
  std::deque<Connection> connections_;  // never moved: epoll holds their addresses
  std::deque<Connection*> free_;
  std::deque<std::uint64_t> waiting_;  // open: requests that found no free connection
  std::uint64_t begun_ns_ = 0;
  std::uint64_t end_ns_ = 0;
  double interval_ns_ = 0;  // open: between requests; else between connections
  std::uint64_t planned_ = 0;
  std::uint64_t in_flight_ = 0;
  std::uint64_t settled_ = 0;  // connections that had their first event or answer
  bool said_ready_ = false;
  bool released_ = false;  // standard input ended
};

}  // namespace spillway::bench
