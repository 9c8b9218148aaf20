// One thread of the scripted upstream: reads requests, skips their bodies, and answers at once with
// plain_answer(), or with what the first bytes of the body ask for: a stream of events at a given
// rate ("interval_us": and "events":), a larger answer ("answer_bytes":), a failure ("status":).
//
// It is written for the least work a request, since it shares a small machine with what is
// measured: one epoll loop, one read and one write a request, no parsing beyond the length.

#pragma once

#include <openssl/ssl.h>

#include <cstdint>
#include <functional>
#include <queue>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace spillway::bench {

class UpstreamWorker {
 public:
  UpstreamWorker();

  // Takes over an accepted socket, from any thread; `tls` is null for a plain one, and outlives the
  // worker.
  void adopt(int socket, SSL_CTX* tls);
  // Serves until the process ends.
  [[noreturn]] void run();

 private:
  struct Connection {
    int socket = -1;
    SSL* tls = nullptr;
    std::string pending;          // a head, or the begin of a body, that is not complete
    std::string out;              // what the peer did not take yet
    std::uint64_t to_skip = 0;    // bytes of the body that are still to come
    bool wants_to_write = false;  // epoll was told so
    bool answering = false;       // a stream is on its way
    std::uint64_t interval_ns = 0;
    std::uint64_t events_left = 0;   // 0: a plain answer is asked for
    std::uint64_t answer_bytes = 0;  // 0: it has the usual size
    std::uint64_t status = 0;        // 0: it is a 200
    std::uint64_t serial = 0;        // of the stream, for the events that are due
  };
  struct Due {
    std::uint64_t at_ns;
    std::uint64_t serial;
    bool operator>(const Due& other) const { return at_ns > other.at_ns; }
  };

  void serve(Connection& connection, std::uint32_t events);
  // All of these return false where the connection is over.
  bool read(Connection& connection);
  bool take(Connection& connection, std::string_view bytes);
  bool take_requests(Connection& connection);
  bool answer(Connection& connection);
  bool send(Connection& connection, std::string_view bytes);
  bool flush(Connection& connection);
  void send_due_events(std::uint64_t now);
  bool send_event(Connection& connection, const Due& due, std::uint64_t now);
  bool watch(Connection& connection, bool for_writing);
  void close(Connection& connection);

  int epoll_;
  std::vector<char> buffer_;
  std::string event_;
  std::priority_queue<Due, std::vector<Due>, std::greater<>> due_;
  std::unordered_map<std::uint64_t, Connection*> streams_;
  std::uint64_t last_serial_ = 0;
};

}  // namespace spillway::bench
