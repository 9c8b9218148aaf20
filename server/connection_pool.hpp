// Idle connections to providers, per worker and origin. The most recently used goes first; each has
// its read armed, so that one the peer closed is gone before somebody takes it.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "server/upstream_connection.hpp"

namespace spillway::server {

class ConnectionPool {
 public:
  explicit ConnectionPool(WorkerLoop& loop);

  // nullptr: none idle. The connection has `reused` set.
  std::unique_ptr<UpstreamConnection> take(const Origin& origin, TimePoint now);

  // Only for a connection whose last response was read to its end, that said keep-alive, and has no
  // bytes left over.
  void give_back(std::unique_ptr<UpstreamConnection> connection, TimePoint now);

  // Drops what has been idle for too long. Called by the worker every few seconds.
  void sweep(TimePoint now);
  void clear();
  std::size_t idle() const { return idle_; }

 private:
  using Bucket = std::vector<std::unique_ptr<UpstreamConnection>>;
  void discard(const Origin& origin, const UpstreamConnection* connection);

  WorkerLoop& loop_;
  std::map<Origin, Bucket> buckets_;  // bounded: origins come from the configuration
  std::size_t idle_ = 0;
};

}  // namespace spillway::server
