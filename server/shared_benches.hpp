// What is said to Redis about this instance's benches, and what becomes of its answers and of other
// instances' messages. Commands and replies only: server/shared_state.hpp carries them.
//
// A bench is a key of its deployment that expires some time after it, and a message on a channel;
// while its probe is out there is a second key. Scripts keep all in step, and the later deadline:
// whatever is under the key is replaced if it is not a bench of ours, so foreign or broken values
// do no harm.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/random.hpp"
#include "core/shared_bench.hpp"
#include "server/redis_reply.hpp"
#include "server/shared_command.hpp"
#include "server/snapshot.hpp"

namespace spillway::server {

// Belongs to the thread that talks to Redis; the benches themselves have their own locks.
class SharedBenches {
 public:
  // `self` tells this instance from all others. `database` keeps those of another database apart,
  // which channels do not by themselves.
  SharedBenches(std::uint64_t self, unsigned database, Random random);

  void use(SnapshotPtr snapshot);

  using Command = SharedCommand;
  // After connecting: what others know, about every deployment that may be benched. What this
  // instance had announced counts as forgotten.
  std::vector<Command> questions();
  // What happened since the last call.
  std::vector<Command> news(TimePoint now);
  // Every bench that is held, again: where it is known this changes nothing, and where Redis forgot
  // it, it is back.
  std::vector<Command> reminders(TimePoint now);

  const std::string& channel() const { return channel_; }

  // False: the reply is an error, or nothing of ours.
  bool on_reply(const std::string& deployment, const RedisReply& reply, TimePoint now);
  bool on_message(std::string_view text, TimePoint now);

 private:
  void say(std::vector<Command>& out, DeploymentIndex deployment, Announcement announcement);
  void adopt(DeploymentIndex deployment, Bench bench, TimePoint now);
  bool may_be_benched(DeploymentIndex deployment) const;
  // nullopt: another instance's configuration has it, or benches it; ours does not.
  std::optional<DeploymentIndex> find(const std::string& id) const;
  const std::string& id_of(DeploymentIndex deployment) const;
  BenchView view(DeploymentIndex deployment, TimePoint now) const;
  std::string key(DeploymentIndex deployment) const;
  std::string probe_key(DeploymentIndex deployment) const;
  // Own ids have no instance here, and ours outside.
  BenchId to_outside(BenchId id) const;
  BenchId to_inside(BenchId id) const;

  std::uint64_t self_;
  std::string channel_;
  Random random_;
  SnapshotPtr snapshot_;
  std::unordered_map<std::string, DeploymentIndex> by_id_;
  std::vector<Announced> announced_;  // by DeploymentIndex
};

}  // namespace spillway::server
