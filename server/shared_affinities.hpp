// What is said to Redis about this instance's affinities, and what becomes of what others say.
// Commands and messages only: server/shared_state.hpp carries them.
//
// Nothing is kept in Redis: every instance learns who answered whom as it happens, into its own
// bounded table. An instance that starts later, or hears nothing for a while, has a cache miss.
// Everybody applies all messages in the channel's order, its own among them: so two instances that
// pin the same affinity at once end up agreed.
#pragma once

#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "server/shared_command.hpp"
#include "server/snapshot.hpp"

namespace spillway::server {

// Belongs to the thread that talks to Redis; the table has its own lock.
class SharedAffinities {
 public:
  explicit SharedAffinities(unsigned database);

  void use(SnapshotPtr snapshot);

  // What was remembered since the last call.
  std::vector<SharedCommand> news();
  const std::string& channel() const { return channel_; }
  // False: not ours.
  bool on_message(std::string_view text, TimePoint now);

 private:
  std::string channel_;
  SnapshotPtr snapshot_;
  std::unordered_set<std::string> known_;  // deployments; ids of others cannot be of any use
};

}  // namespace spillway::server
