// What the load generator is asked to do, and what it found.

#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace spillway::bench {

enum class LoadMode {
  closed,   // every connection sends its next request when the last one is answered
  open,     // requests at a fixed rate, whatever the answers do
  streams,  // every connection asks for a stream, and for the next one when it ended
  idle,     // every connection is answered once and then stays open, unused
};

struct LoadPlan {
  LoadMode mode = LoadMode::closed;
  std::uint16_t port = 0;
  unsigned connections = 1;
  double seconds = 1;       // after it no request is begun
  double rate = 0;          // open: requests a second
  double open_rate = 5000;  // streams, idle: connections made a second
  bool hold = false;        // streams, idle: stay until standard input ends
  std::string request;      // head and body, ready to be sent
};

struct Findings {
  std::uint64_t answered = 0;  // whole answers with status 200; streams with [DONE]
  std::uint64_t events = 0;
  std::uint64_t refused = 0;     // connections that could not be made
  std::uint64_t broken = 0;      // answers that were cut or made no sense
  std::uint64_t unanswered = 0;  // requests that had no answer when time was over
  std::map<int, std::uint64_t> other_statuses;
  double seconds = 0;
  // All in nanoseconds, one a request or event.
  std::vector<std::uint64_t> latencies;
  std::vector<std::uint64_t> first_events;
  std::vector<std::uint64_t> event_delays;
  std::vector<std::uint64_t> lateness;  // open: how late the generator itself was
};

}  // namespace spillway::bench
