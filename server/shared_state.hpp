// Shares the deployments' benches, their limits' windows and affinities with the other instances,
// through Redis or Valkey.
//
// What the workers' decisions read stays in this process; here is only a thread of its own that
// tells others what changed and takes over what they tell. No request ever waits for it, and while
// Redis is away, slow or talking nonsense, each instance goes by what it knows itself
// (docs/decisions/0005-shared-benches.md, 0006-leased-limits.md).
//
// Two connections, because a subscribed one takes no other commands. Both are opened, what others
// know is asked for, and then talk() and listen() run until one of them ends; after a pause that
// grows up to bounds::kRedisBackoffCap everything begins anew.
#pragma once

#include <atomic>
#include <string>
#include <thread>

#include "core/config.hpp"
#include "core/random.hpp"
#include "server/asio.hpp"
#include "server/metrics.hpp"
#include "server/redis_connection.hpp"
#include "server/resolver.hpp"
#include "server/shared_affinities.hpp"
#include "server/shared_benches.hpp"
#include "server/shared_limits.hpp"
#include "server/snapshot.hpp"
#include "server/tls_client.hpp"

namespace spillway::server {

class SharedState final : public ChangeListener {
 public:
  SharedState(RedisSettings settings, TimePoint (*clock)());
  ~SharedState() override;

  // --- main thread ---
  void use(SnapshotPtr snapshot);  // before start(), and again for each new one
  void start();

  // --- any thread ---
  void changed() override;
  SharedStateCounts counts() const;

 private:
  using Problem = RedisConnection::Problem;
  using Commands = std::vector<SharedCommand>;
  struct Session {
    explicit Session(const RedisConnection::Means& means) : talker(means), listener(means) {}
    RedisConnection talker, listener;
    bool open() const { return talker.usable() && listener.usable(); }
    void close() {
      talker.close();
      listener.close();
    }
  };

  void run_thread();
  Awaitable<void> run();
  Awaitable<Problem> session();
  Awaitable<Problem> join(RedisConnection& talker, RedisConnection& listener);
  Awaitable<Problem> talk(RedisConnection& talker, RedisConnection& listener);
  Awaitable<Problem> listen(RedisConnection& listener);
  Awaitable<void> listen_for(std::optional<Problem>& problem);
  Awaitable<Problem> carry(RedisConnection& talker, Commands commands);
  void leave();
  void wake_at(TimePoint when);
  void cut();
  Commands news(TimePoint now);
  void hear(const RedisReply& reply);
  bool understood(const SharedCommand& command, const RedisReply& reply);
  void note_pace(SharedLimits::Heard heard);
  bool refused(const RedisReply& reply);
  void connected();
  void lost(const Problem& problem);
  void count_error() { errors_.fetch_add(1, std::memory_order_relaxed); }

  const RedisSettings settings_;
  const std::string address_;  // for the log
  TimePoint (*const clock_)();
  DeadlineQueue deadlines_{[this](TimePoint when) { wake_at(when); }};  // outlives the event loop
  std::optional<Timer> due_;  // when deadlines_ are; goes before the event loop does
  asio::io_context io_{1};
  Resolver resolver_{io_, clock_};
  TlsClient tls_;
  Random random_;
  const std::uint64_t self_;
  SnapshotPtr latest_;  // main thread
  SharedBenches benches_;
  SharedLimits limits_;
  SharedAffinities affinities_;
  Timer news_{io_};      // cancelled when there are some
  Timer farewell_{io_};  // how long it may take
  Timer pause_{io_};     // before the next session
  std::optional<Session> session_;
  bool outage_told_ = false;    // once, until a session has lasted
  bool sharing_told_ = false;   // since an outage was told
  bool refusal_told_ = false;   // once in each session
  bool slowness_told_ = false;  // once, until an answer came in time
  bool leaving_ = false;
  bool ask_again_ = false;  // a reload may have brought deployments that others know of
  bool joined_ = false;     // in this session
  bool cut_ = false;        // nothing is to be waited for any more

  std::atomic<bool> wake_pending_{false};
  std::atomic<bool> connected_{false};
  std::atomic<std::uint64_t> errors_{0};
  std::atomic<std::uint64_t> published_{0};
  std::atomic<std::uint64_t> received_{0};
  std::thread thread_;
};

}  // namespace spillway::server
