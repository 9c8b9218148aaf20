#include "server/connection_pool.hpp"

#include <algorithm>

namespace spillway::server {

namespace {

constexpr Duration kIdleLifetime = seconds(15);  // below what providers and load balancers use
constexpr std::size_t kIdlePerOrigin = 256;

}  // namespace

ConnectionPool::ConnectionPool(WorkerLoop& loop) : loop_(loop) {}

std::unique_ptr<UpstreamConnection> ConnectionPool::take(const Origin& origin, TimePoint now) {
  const auto found = buckets_.find(origin);
  if (found == buckets_.end()) return nullptr;
  Bucket& bucket = found->second;
  while (!bucket.empty()) {
    std::unique_ptr<UpstreamConnection> connection = std::move(bucket.back());
    bucket.pop_back();
    --idle_;
    connection->stop_watching();
    if (!connection->is_open() || now - connection->idle_since > kIdleLifetime) continue;
    connection->reused = true;
    return connection;
  }
  return nullptr;
}

void ConnectionPool::give_back(std::unique_ptr<UpstreamConnection> connection, TimePoint now) {
  Bucket& bucket = buckets_[connection->origin()];
  if (bucket.size() >= kIdlePerOrigin) return;
  connection->idle_since = now;
  UpstreamConnection* raw = connection.get();
  bucket.push_back(std::move(connection));
  ++idle_;
  raw->watch_idle([this, raw] { discard(raw->origin(), raw); });
}

void ConnectionPool::discard(const Origin& origin, const UpstreamConnection* connection) {
  Bucket& bucket = buckets_[origin];
  const auto found =
      std::ranges::find(bucket, connection, &std::unique_ptr<UpstreamConnection>::get);
  if (found == bucket.end()) return;
  // The connection's own watch is calling: it is destroyed once that call has returned.
  std::shared_ptr<UpstreamConnection> doomed = std::move(*found);
  bucket.erase(found);
  --idle_;
  doomed->close();
  loop_.post_here([doomed = std::move(doomed)] {});
}

void ConnectionPool::sweep(TimePoint now) {
  for (auto& [origin, bucket] : buckets_) {
    idle_ -= std::erase_if(bucket, [&](const auto& connection) {
      return now - connection->idle_since > kIdleLifetime;
    });
  }
}

void ConnectionPool::clear() {
  buckets_.clear();
  idle_ = 0;
}

}  // namespace spillway::server
