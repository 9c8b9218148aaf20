// The state of all deployments of one configuration, as the decisions see it. core/ asks; the
// server answers from state shared by its workers, tests answer from a plain vector (LocalFleet).
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "core/config.hpp"
#include "core/health.hpp"
#include "core/live_deployment.hpp"
#include "core/lottery.hpp"
#include "core/retry_budget.hpp"

namespace spillway {

class Fleet {
 public:
  virtual ~Fleet() = default;

  virtual Availability availability(DeploymentIndex deployment, TimePoint now) = 0;
  // For display only; a fleet that keeps no window says nothing.
  virtual RecentOutcomes recent(DeploymentIndex, TimePoint) { return {}; }
  // What a strategy compares; a fleet that measures nothing says that all are alike.
  virtual Load load(DeploymentIndex, Delivery, TimePoint) { return {}; }
  virtual double figure(DeploymentIndex, Figure, Delivery, TimePoint) { return 0.0; }
  // In one look; nullopt: the deployment is not callable.
  virtual std::optional<double> figure_if_callable(DeploymentIndex deployment, Figure figure,
                                                   Delivery delivery, TimePoint now) {
    if (!availability(deployment, now).callable) return std::nullopt;
    return this->figure(deployment, figure, delivery, now);
  }
  // nullopt: the deployment's health or one of its limits does not allow it. `tokens` are set aside
  // of its tpm until the call ends.
  virtual std::optional<Permit> begin(DeploymentIndex deployment, TimePoint now,
                                      DeploymentHealth::Force force, std::uint64_t tokens = 0) = 0;
  virtual HealthChange succeeded(const Permit& permit, TimePoint now) = 0;
  virtual HealthChange failed(const Permit& permit, const Failure& failure, Benching benching,
                              TimePoint now) = 0;
  virtual void give_back(const Permit& permit) = 0;
  virtual void end(const Permit& permit) = 0;

  // What a call measured: its first token came, or its whole answer; nothing came until now; the
  // tokens it used; what its answer said is left of the upstream's rate limits.
  virtual void first_token(const Permit&, Delivery, TimePoint) {}
  virtual void silent_so_far(const Permit&, Delivery, TimePoint) {}
  virtual void used_tokens(DeploymentIndex, std::uint64_t, TimePoint) {}
  virtual void told_quotas(DeploymentIndex, const Quotas&, TimePoint) {}

  virtual void count_request(GroupIndex group, TimePoint now) = 0;
  virtual bool draw_retry(GroupIndex group, TimePoint now) = 0;
  virtual void give_back_retry(GroupIndex group) = 0;
  // A retry of the budget, for a hedge within the group's share of them.
  virtual bool draw_hedge(GroupIndex, TimePoint) { return false; }
  // Within what 95 of 100 of its latest answers came; nullopt: too few are known.
  virtual std::optional<Duration> p95_time(DeploymentIndex, Delivery) { return std::nullopt; }

  // The deployment that answered a request of this affinity last, if the fleet remembers.
  virtual std::optional<DeploymentIndex> pinned(GroupIndex, std::uint64_t, TimePoint) {
    return std::nullopt;
  }
  virtual void pin(GroupIndex, std::uint64_t, DeploymentIndex, TimePoint) {}

  // nullptr: the fleet has none; to pick one of the group means to look at all.
  virtual const Lottery* lottery(GroupIndex) { return nullptr; }

  virtual Random& random() = 0;
};

// A fleet for one thread: tests, simulations, and rehearsals on copies of the real one.
class LocalFleet final : public Fleet {
 public:
  LocalFleet(const Config& config, std::uint64_t seed);
  // `deployments` and `budgets` are by index, as many as `config` has deployments and groups.
  LocalFleet(const Config& config, std::vector<LiveDeployment> deployments,
             std::vector<RetryBudget> budgets, std::uint64_t seed);

  Availability availability(DeploymentIndex deployment, TimePoint now) override;
  RecentOutcomes recent(DeploymentIndex deployment, TimePoint now) override;
  Load load(DeploymentIndex deployment, Delivery delivery, TimePoint now) override;
  double figure(DeploymentIndex deployment, Figure figure, Delivery delivery,
                TimePoint now) override;
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
  // Made when it is first asked for: a rehearsal visits few groups.
  const Lottery* lottery(GroupIndex group) override;
  Random& random() override { return random_; }

 private:
  LiveDeployment& at(DeploymentIndex deployment) { return deployments_[deployment.value]; }
  CallLimits limits(DeploymentIndex deployment) const { return limits_of(config_, deployment); }

  const Config& config_;
  std::vector<LiveDeployment> deployments_;
  std::vector<RetryBudget> budgets_;
  std::map<GroupIndex, Lottery> lotteries_;
  Random random_;
};

}  // namespace spillway
