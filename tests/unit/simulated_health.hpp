// What a deployment's bench must be, kept apart from core/health.hpp by its own small bookkeeping.
//
// Where the design leaves a choice (the jitter of a bench, the rough edge of the breaker's window)
// the book accepts whatever lies within it, and follows. Everything else must be as it says.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/config.hpp"
#include "core/health.hpp"
#include "simulated_rules.hpp"

namespace spillway::simulation {

class HealthBook {
 public:
  // A call as the book knows it.
  struct Ticket {
    std::uint64_t begun = 0;  // on the book's own clock of calls and benches
    bool probe = false;       // it holds the probe's place
  };

  // `alone`: a group of one with nowhere else to go, where nothing is benched.
  HealthBook(const CooldownRules& rules, bool alone) : rules_(rules), alone_(alone) {}

  bool benched() const { return benched_; }
  bool callable(TimePoint now) const { return !benched_ || (now >= until_ && !probing_); }
  bool waits_out_bench(TimePoint now) const { return benched_ && now < until_; }
  bool by_breaker() const { return benched_ && state_ == HealthState::breaker_open; }
  bool named() const { return benched_ && named_; }
  bool probing() const { return benched_ && probing_; }
  TimePoint until() const { return until_; }
  TimePoint last_failure() const { return last_failure_; }
  ErrorClass cause() const { return cause_; }
  unsigned in_flight() const { return in_flight_; }

  Ticket begin(bool probe);
  void end() { --in_flight_; }
  void give_back(Ticket& ticket);
  // `change` and `seen`: what the code under test made of it.
  void succeeded(Ticket& ticket, HealthChange change, const Availability& seen, TimePoint now);
  void failed(Ticket& ticket, const Failure& failure, HealthChange change, const Availability& seen,
              TimePoint now);
  // Routing must be shown exactly this.
  void compare(const Availability& seen, TimePoint now) const;

 private:
  enum class Sentence : unsigned char { none, close, cool, open };
  struct Verdict {
    Sentence sentence = Sentence::none;
    Duration length{};
    bool at_edge = false;  // the window's edge decides: none is right as well
  };
  // The times of what happened in the last minute.
  using Times = std::vector<TimePoint>;

  Verdict judge(const Failure& failure, bool late, bool probe, TimePoint now);
  Verdict breaker(bool probe, TimePoint now);
  void bench(const Verdict& verdict, const Failure& failure, bool extends, HealthChange change,
             const Availability& seen, TimePoint now);
  void close();
  Duration cooldown(const Failure& failure, unsigned doublings) const;

  CooldownRules rules_;
  bool alone_;
  bool benched_ = false;
  HealthState state_{};
  TimePoint until_{};
  bool named_ = false;
  ErrorClass cause_{};
  bool probing_ = false;
  std::uint64_t clock_ = 1;
  std::uint64_t benched_at_ = 0;
  unsigned failed_probes_ = 0;
  unsigned in_a_row_ = 0;
  unsigned in_flight_ = 0;
  TimePoint last_failure_{};
  Times successes_;
  Times failures_;
  std::array<Times, kErrorClassCount> tolerated_;
};

}  // namespace spillway::simulation
