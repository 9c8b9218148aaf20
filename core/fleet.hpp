// The state of all deployments of one configuration, as the decisions see it. core/ asks; the
// server answers from state shared by its workers, tests answer from a plain vector (LocalFleet).
#pragma once

#include <optional>
#include <vector>

#include "core/config.hpp"
#include "core/health.hpp"
#include "core/retry_budget.hpp"

namespace spillway {

class Fleet {
 public:
  virtual ~Fleet() = default;

  virtual Availability availability(DeploymentIndex deployment, TimePoint now) = 0;
  // For display only; a fleet that keeps no window says nothing.
  virtual RecentOutcomes recent(DeploymentIndex, TimePoint) { return {}; }
  virtual std::optional<Permit> begin(DeploymentIndex deployment, TimePoint now,
                                      DeploymentHealth::Force force) = 0;
  virtual HealthChange succeeded(const Permit& permit, TimePoint now) = 0;
  virtual HealthChange failed(const Permit& permit, const Failure& failure, Benching benching,
                              TimePoint now) = 0;
  virtual void give_back(const Permit& permit) = 0;
  virtual void end(const Permit& permit) = 0;

  virtual void count_request(GroupIndex group, TimePoint now) = 0;
  virtual bool draw_retry(GroupIndex group, TimePoint now) = 0;
  virtual void give_back_retry(GroupIndex group) = 0;

  // The deployment that answered a request of this affinity last, if the fleet remembers.
  virtual std::optional<DeploymentIndex> pinned(GroupIndex, std::uint64_t, TimePoint) {
    return std::nullopt;
  }
  virtual void pin(GroupIndex, std::uint64_t, DeploymentIndex, TimePoint) {}

  virtual Random& random() = 0;
};

// A fleet for one thread: tests and simulations.
class LocalFleet final : public Fleet {
 public:
  LocalFleet(const Config& config, std::uint64_t seed);

  Availability availability(DeploymentIndex deployment, TimePoint now) override;
  RecentOutcomes recent(DeploymentIndex deployment, TimePoint now) override;
  std::optional<Permit> begin(DeploymentIndex deployment, TimePoint now,
                              DeploymentHealth::Force force) override;
  HealthChange succeeded(const Permit& permit, TimePoint now) override;
  HealthChange failed(const Permit& permit, const Failure& failure, Benching benching,
                      TimePoint now) override;
  void give_back(const Permit& permit) override;
  void end(const Permit& permit) override;
  void count_request(GroupIndex group, TimePoint now) override;
  bool draw_retry(GroupIndex group, TimePoint now) override;
  void give_back_retry(GroupIndex group) override;
  Random& random() override { return random_; }

 private:
  const Config& config_;
  std::vector<DeploymentHealth> health_;
  std::vector<RetryBudget> budgets_;
  Random random_;
};

}  // namespace spillway
