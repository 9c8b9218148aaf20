// A LocalFleet of which every use is checked: permits, probes, benches and the retry budget.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <vector>

#include "core/fleet.hpp"
#include "simulated_health.hpp"

namespace spillway::simulation {

class SimulatedFleet final : public Fleet {
 public:
  SimulatedFleet(const Config& config, std::uint64_t seed);

  // Whose step it is: what is taken and given back from now on is that request's.
  struct Step {
    std::uint32_t request = 0;
    std::optional<DeploymentIndex> called{};
    bool forced = false;                // a call was made in spite of the bench
    bool probe = false;                 // a call was made as the bench's probe
    std::vector<GroupIndex> refused{};  // groups whose retry budget refused
    bool hedge_refused = false;
    std::vector<GroupIndex> counted{};  // groups that were told of a request
  };
  Step& begin_step(std::uint32_t request);
  // Throws if something was given back that was not held.
  void end_step();
  const HealthBook& book(DeploymentIndex deployment) const { return books_[deployment.value]; }
  // Whether it could be called when the step began; the step itself may have called it since.
  bool could_be_called(DeploymentIndex deployment, TimePoint now) const;
  std::size_t permits(std::uint32_t request) const;
  std::size_t retries(std::uint32_t request) const { return retries_.count(request); }
  void check_all_returned(TimePoint now);

  Availability availability(DeploymentIndex deployment, TimePoint now) override;
  std::optional<Permit> begin(DeploymentIndex deployment, TimePoint now,
                              DeploymentHealth::Force force, std::uint64_t tokens) override;
  HealthChange succeeded(const Permit& permit, TimePoint now) override;
  HealthChange failed(const Permit& permit, const Failure& failure, Benching benching,
                      TimePoint now) override;
  void give_back(const Permit& permit) override;
  void end(const Permit& permit) override;
  void count_request(GroupIndex group, TimePoint now) override;
  bool draw_retry(GroupIndex group, TimePoint now) override;
  void give_back_retry(GroupIndex group) override;
  bool draw_hedge(GroupIndex group, TimePoint now) override;
  void first_token(const Permit& permit, Delivery delivery, TimePoint now) override {
    fleet_.first_token(permit, delivery, now);
  }
  void silent_so_far(const Permit& permit, Delivery delivery, TimePoint now) override {
    fleet_.silent_so_far(permit, delivery, now);
  }
  std::optional<Duration> p95_time(DeploymentIndex deployment, Delivery delivery) override {
    return fleet_.p95_time(deployment, delivery);
  }
  const Lottery* lottery(GroupIndex group) override { return fleet_.lottery(group); }
  Random& random() override { return fleet_.random(); }

  std::uint64_t probes = 0;
  std::uint64_t last_resorts = 0;
  std::uint64_t refusals = 0;
  std::uint64_t hedges = 0;

 private:
  struct Held {
    DeploymentIndex deployment;
    HealthBook::Ticket ticket;
    bool judged = false;  // a result was reported, or the permit given back without one
  };
  using Ticket = std::pair<std::uint32_t, std::uint32_t>;  // request and deployment
  Ticket ticket_of(const Permit& permit) const { return {step_.request, permit.deployment.value}; }
  Held& held(const Permit& permit);
  double allowed(GroupIndex group, Duration age, TimePoint now);
  void note_drawn(GroupIndex group, TimePoint now);
  void note(bool holds, const char* text);
  HealthBook& book(const Permit& permit) { return books_[permit.deployment.value]; }

  const Config& config_;
  LocalFleet fleet_;
  std::vector<HealthBook> books_;
  std::map<Ticket, Held> tickets_;
  std::multimap<std::uint32_t, GroupIndex> retries_;  // by request: the budgets that it draws on
  std::vector<unsigned> drawn_;                       // by group
  std::vector<std::deque<TimePoint>> requests_;       // by group, of the last ten seconds
  std::vector<double> hedges_earned_;                 // by group, and not made yet
  Step step_;
  const char* broken_ = nullptr;
};

}  // namespace spillway::simulation
