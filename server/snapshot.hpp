// One configuration in use, with the state of its deployments. A request keeps the snapshot it
// began with; what a deployment has been through survives a reload when its id does.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/affinity.hpp"
#include "core/affinity_news.hpp"
#include "core/config.hpp"
#include "core/fleet.hpp"
#include "server/prepared_heads.hpp"

namespace spillway::server {

// Shared by all workers; the lock is held for one decision and never across a suspension.
struct DeploymentState {
  std::mutex guard;
  LiveDeployment live;
  // Since the listener looked last:
  std::atomic<bool> bench_changed{false};
  std::atomic<bool> lease_changed{false};
};

// Told by any worker that a flag was set: a deployment's bench began, was extended or ended, its
// probe began or ended, its limits' lease runs low; or that an affinity was remembered. Never
// waits.
class ChangeListener {
 public:
  virtual ~ChangeListener() = default;
  virtual void changed() = 0;
};

struct GroupState {
  explicit GroupState(const RouterSettings& router) : budget(router) {}
  std::mutex guard;
  RetryBudget budget;
};

// What the workers remember of who answered whom; guarded like a deployment's state.
struct AffinityState {
  explicit AffinityState(std::uint64_t seed) : table(seed) {}
  std::mutex guard;
  AffinityTable table;
  std::vector<AffinityNews> news;  // for other instances; at most bounds::kAffinityNews
};

// Together, because every choice reads both.
struct GroupInUse {
  std::shared_ptr<GroupState> state;
  Lottery lottery;
};

struct Snapshot {
  explicit Snapshot(Config used) : config(std::move(used)), heads(config) {}

  Config config;
  std::vector<std::shared_ptr<DeploymentState>> deployments;    // by DeploymentIndex
  std::vector<GroupInUse> groups;                               // by GroupIndex
  std::unordered_map<std::string_view, DeploymentIndex> by_id;  // names are the configuration's
  std::shared_ptr<AffinityState> affinity;
  ChangeListener* listener = nullptr;  // nullptr: this instance is alone
  PreparedHeads heads;
};
using SnapshotPtr = std::shared_ptr<const Snapshot>;

// Makes snapshots, carrying the state of deployments and groups over from the one before. Main
// thread only. `listener` outlives every snapshot.
SnapshotPtr make_snapshot(Config config, const SnapshotPtr& previous,
                          ChangeListener* listener = nullptr);

// What the deployments and groups of a snapshot have been through, copied: for rehearsals, whose
// time runs ahead. Any thread. `snapshot` outlives the copy.
LocalFleet copy_of(const Snapshot& snapshot, std::uint64_t seed);

// A snapshot's state as one worker's decisions see it. Borrows both; lives as long as the request.
class WorkerFleet final : public Fleet {
 public:
  WorkerFleet(const Snapshot& snapshot, Random& random, Looking looking = Looking::to_call)
      : snapshot_(snapshot), random_(random), looking_(looking) {}

  Availability availability(DeploymentIndex deployment, TimePoint now) override;
  RecentOutcomes recent(DeploymentIndex deployment, TimePoint now) override;
  Load load(DeploymentIndex deployment, Delivery delivery, TimePoint now) override;
  double figure(DeploymentIndex deployment, Figure figure, Delivery delivery,
                TimePoint now) override;
  std::optional<double> figure_if_callable(DeploymentIndex deployment, Figure figure,
                                           Delivery delivery, TimePoint now) override;
  std::optional<Permit> begin(DeploymentIndex deployment, TimePoint now,
                              DeploymentHealth::Force force, std::uint64_t tokens = 0) override;
  HealthChange succeeded(const Permit& permit, TimePoint now) override;
  HealthChange failed(const Permit& permit, const Failure& failure, Benching benching,
                      TimePoint now) override;
  void give_back(const Permit& permit) override;
  void end(const Permit& permit) override;
  void first_token(const Permit& permit, Delivery delivery, TimePoint now) override;
  void silent_so_far(const Permit& permit, Delivery delivery, TimePoint now) override;
  void used_tokens(DeploymentIndex deployment, std::uint64_t tokens, TimePoint now) override;
  void told_quotas(DeploymentIndex deployment, const Quotas& quotas, TimePoint now) override;
  void count_request(GroupIndex group, TimePoint now) override;
  bool draw_retry(GroupIndex group, TimePoint now) override;
  void give_back_retry(GroupIndex group) override;
  bool draw_hedge(GroupIndex group, TimePoint now) override;
  std::optional<Duration> p95_time(DeploymentIndex deployment, Delivery delivery) override;
  std::optional<DeploymentIndex> pinned(GroupIndex group, std::uint64_t affinity,
                                        TimePoint now) override;
  void pin(GroupIndex group, std::uint64_t affinity, DeploymentIndex deployment,
           TimePoint now) override;
  const Lottery* lottery(GroupIndex group) override {
    return &snapshot_.groups[group.value].lottery;
  }
  Random& random() override { return random_; }

 private:
  CallLimits limits(DeploymentIndex deployment) const {
    return limits_of(snapshot_.config, deployment);
  }
  // Without holding its lock.
  void tell_bench(DeploymentIndex deployment);
  void tell_lease(DeploymentIndex deployment);

  const Snapshot& snapshot_;
  Random& random_;
  Looking looking_;
};

}  // namespace spillway::server
