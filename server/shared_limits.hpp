// What is said to Redis about this instance's share of rpm and tpm, and what becomes of the
// answers. Commands and replies only: server/shared_state.hpp carries them, core/limit_lease.hpp
// decides.
//
// A deployment's window is a hash, one field an instance: what it holds, until when, and what it
// used within the last minute. One script reads them all, grants, and replaces the field of who
// asks; so nothing is counted twice, and what Redis lost is there again after a renewal. All times
// are ages, or Redis' own: no instance's clock is compared with another's.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "server/redis_reply.hpp"
#include "server/shared_command.hpp"
#include "server/snapshot.hpp"

namespace spillway::server {

// Belongs to the thread that talks to Redis; the leases themselves have their deployments' locks.
class SharedLimits {
 public:
  // As for SharedBenches.
  SharedLimits(std::uint64_t self, unsigned database);

  void use(SnapshotPtr snapshot);

  // What is to be stated now: what was asked for, and leases that are to be renewed.
  std::vector<SharedCommand> statements(TimePoint now);
  // The last ones: nothing is held any more.
  std::vector<SharedCommand> farewell(TimePoint now);
  // When statements() will have something to say, if nothing happens.
  TimePoint next(TimePoint now) const;
  // Redis is away: every instance's own windows rule.
  void lose();

  const std::string& channel() const { return channel_; }

  enum class Heard : std::uint8_t { fine, late, useless };
  Heard on_reply(const std::string& deployment, const RedisReply& reply, TimePoint now);
  // False: not ours.
  bool on_message(std::string_view text, TimePoint now);

 private:
  // One with a limit that is shared.
  struct Shared {
    DeploymentIndex deployment;
    TimePoint stated_at{};
  };
  const Shared* find(const std::string& id) const;
  DeploymentState& state_of(const Shared& shared) const;
  SharedCommand command(Shared& shared, TimePoint now);

  std::uint64_t self_;
  std::string channel_;
  SnapshotPtr snapshot_;
  std::uint64_t statements_ = 0;  // made so far
  std::vector<Shared> shared_;
  std::unordered_map<std::string, std::size_t> by_id_;  // positions in shared_
};

// Has every limited deployment of a new snapshot expect its first lease, before any request comes.
void expect_leases(const Snapshot& snapshot, TimePoint now);

}  // namespace spillway::server
