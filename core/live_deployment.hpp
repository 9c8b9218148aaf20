// One deployment's health and load, kept in step: every call that begins is in both, or in neither.
//
// Not thread-safe; the server guards each one with its own short lock.
#pragma once

#include <optional>

#include "core/deployment_load.hpp"
#include "core/health.hpp"

namespace spillway {

class LiveDeployment {
 public:
  // Before a choice that may lead to a call.
  void prefetch() const {
    health_.prefetch();
    load_.prefetch();
  }

  // Health, with what its own limits leave: callable only if both allow it.
  Availability availability(const CallLimits& limits, TimePoint now,
                            Looking looking = Looking::to_call);
  RecentOutcomes recent(TimePoint now) const { return health_.recent(now); }
  Load load(Delivery delivery, const CallLimits& limits, Duration time_to_live, TimePoint now);
  double figure(Figure figure, Delivery delivery, Duration time_to_live, TimePoint now);

  // nullopt if not callable now. Force overrules its health, never its limits.
  std::optional<Permit> begin(DeploymentIndex deployment, const CallLimits& limits,
                              std::uint64_t tokens, TimePoint now, DeploymentHealth::Force force);
  HealthChange succeeded(const Permit& permit, TimePoint now);
  HealthChange failed(const Permit& permit, const Failure& failure, const CooldownRules& rules,
                      Benching benching, Random& random, TimePoint now);
  void give_back(const Permit& permit) { health_.give_back(permit); }
  void end(const Permit& permit);

  // What a call measured; see Fleet.
  void first_token(const Permit& permit, Delivery delivery, TimePoint now);
  void silent_so_far(const Permit& permit, Delivery delivery, TimePoint now);
  void used_tokens(std::uint64_t tokens, const CallLimits& limits, TimePoint now) {
    load_.note_tokens(tokens, limits, now);
  }
  std::optional<Duration> p95_time(Delivery delivery) const { return load_.p95_time(delivery); }
  void told_quotas(const Quotas& quotas, TimePoint now) { load_.note_quotas(quotas, now); }

  // What instances share of its limits; see LimitLease.
  LimitLease& lease() { return load_.lease(); }
  LeaseStatement lease_statement(const CallLimits& limits, TimePoint now) {
    return load_.lease_statement(limits, now);
  }

  // What instances tell each other; see DeploymentHealth.
  BenchView bench_view(TimePoint now) const { return health_.bench_view(now); }
  bool adopt(const Bench& bench, Random& random, TimePoint now) {
    return health_.adopt(bench, random, now);
  }
  bool close(BenchId id, TimePoint now);
  void probed_elsewhere(BenchId id, TimePoint until) { health_.probed_elsewhere(id, until); }

 private:
  DeploymentHealth health_;
  DeploymentLoad load_;
};

}  // namespace spillway
