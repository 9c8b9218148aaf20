// One deployment's health: cooldown and circuit breaker as one machine, closed -> benched ->
// probing -> closed.
//
// A rate limit benches at once and for as long as the upstream said; failures without such a
// message bench through the breaker (three in a row, or most of the last minute). When the bench
// ends one request probes and the others stay away; its success closes, its failure doubles the
// time. Outcomes of attempts begun before a bench neither double nor close it: fifty 429s in flight
// are one (DESIGN.md section 5).
//
// Other instances' benches are adopted, and one that another instance probes is left alone
// meanwhile (docs/decisions/0005-shared-benches.md).
//
// Not thread-safe; the server guards each one with its own short lock.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string_view>

#include "core/bench.hpp"
#include "core/bounds.hpp"
#include "core/config.hpp"
#include "core/failure.hpp"
#include "core/prefetch.hpp"
#include "core/random.hpp"
#include "core/sliding_count.hpp"
#include "core/time.hpp"

namespace spillway {

enum class HealthState : std::uint8_t { closed, cooling, breaker_open, half_open };
std::string_view name(HealthState state);

// What routing needs to know about a deployment at an instant.
struct Availability {
  HealthState state = HealthState::closed;
  bool callable = true;            // closed, or half-open with the probe free; and limits allow it
  TimePoint until{};               // when benched: the end of the bench
  bool named_by_upstream = false;  // `until` comes from a hint, not from a default
  bool probing = false;            // a probe is under way: its outcome will come
  ErrorClass cause{};              // when not closed: what benched it
  TimePoint last_failure{};        // for the least recently failed
  unsigned in_flight = 0;
  // Not health, but what the deployment's own limits leave (core/deployment_load.hpp).
  bool full = false;          // calls in flight take all the room: look again soon
  TimePoint limited_until{};  // rpm or tpm are used up until then
};

// What the breaker's window holds; shown to operators, decides nothing outside of the breaker.
struct RecentOutcomes {
  std::uint64_t successes = 0;
  std::uint64_t failures = 0;
  unsigned consecutive_failures = 0;
};

// Leave to make one call; given back through exactly one of record_success, record_failure or
// give_back.
struct Permit {
  DeploymentIndex deployment;
  std::uint64_t generation = 0;
  bool probe = false;
  TimePoint begun{};
  std::uint64_t tokens = 0;  // set aside for the call until its end
};

enum class HealthChange : std::uint8_t { none, cooled_down, breaker_opened, extended, closed };

// Whether failures may bench at all: not in a group of one without a fallback (DESIGN.md section
// 5).
enum class Benching : std::uint8_t { allowed, withheld };

class DeploymentHealth {
 public:
  // What a choice and its call look at.
  void prefetch() const { spillway::prefetch(this, &successes_); }

  Availability availability(TimePoint now) const;
  RecentOutcomes recent(TimePoint now) const;

  // nullopt if not callable now. `Force::yes` is for a call by id and for the least recently failed
  // of a group with nothing else: it is let through whatever the state, as an ordinary call.
  enum class Force : std::uint8_t { no, yes };
  std::optional<Permit> begin(DeploymentIndex deployment, TimePoint now, Force force = Force::no);

  HealthChange record_success(const Permit& permit, TimePoint now);
  HealthChange record_failure(const Permit& permit, const Failure& failure,
                              const CooldownRules& rules, Benching benching, Random& random,
                              TimePoint now);
  // The attempt ended without saying anything about the deployment (the client left): a probe slot
  // is free again.
  void give_back(const Permit& permit);

  // The call is over and no longer in flight (at the end of a stream, long after record_success).
  void end();

  // --- what instances tell each other ---
  BenchView bench_view(TimePoint now) const;
  // Takes over another instance's bench, ended a little later than there so that not all probe at
  // once; one that is over is half-open. False and nothing changed: it is known already, was closed
  // here, or ends before the one that is held.
  bool adopt(const Bench& bench, Random& random, TimePoint now);
  // Another instance's probe of that bench succeeded. False: another bench is held, or none.
  bool close(BenchId id);
  // Another instance probes that bench; it is left alone until its outcome is told, or `until`.
  void probed_elsewhere(BenchId id, TimePoint until);

 private:
  // How a failure benches, before the clock and the jitter are looked at.
  struct Sentence {
    HealthState state;  // cooling or breaker_open
    Duration length;
    bool named = false;  // the upstream named the length
  };

  // What an outcome may do. A late one belongs to an attempt begun before the bench, or to a last
  // resort during it: it may extend a bench, and do nothing else.
  enum class Standing : std::uint8_t { current, probe, late };

  // A minute in slots of five seconds.
  using Minute = SlidingCount<12>;

  bool benched() const { return state_ != HealthState::closed; }
  bool holds_probe(const Permit& permit) const;
  std::optional<Sentence> judge(const Failure& failure, const CooldownRules& rules,
                                Standing standing, TimePoint now);
  bool exceeds(unsigned allowed, ErrorClass error_class, Standing standing, TimePoint now);
  bool breaker_trips(TimePoint now) const;
  HealthChange bench(const Sentence& sentence, Standing standing, const Failure& failure,
                     Random& random, TimePoint now);
  HealthChange close();

  // What every choice looks at comes first.
  HealthState state_ =
      HealthState::closed;  // never half_open: that is a benched one whose time is over
  bool named_by_upstream_ = false;
  bool probe_out_ = false;
  ErrorClass cause_{};
  unsigned in_flight_ = 0;
  TimePoint last_failure_{};
  std::uint64_t generation_ =
      0;  // of benches: a permit with an older one saw nothing of this bench
  TimePoint until_{};
  TimePoint probed_elsewhere_until_{};
  TimePoint agreed_until_{};  // what instances compare: `until_` without what adopting added
  BenchId bench_id_;
  BenchId closed_id_;
  std::uint64_t probe_generation_ = 0;
  unsigned failed_probes_ = 0;  // since it was last closed; each doubles the next bench
  unsigned consecutive_failures_ = 0;
  Minute successes_{bounds::kBreakerWindow};
  Minute failures_{bounds::kBreakerWindow};
  // Failures that allowed_fails tolerated, by class; empty where the operator set no allowance.
  std::map<ErrorClass, Minute> tolerated_;
};

// Withheld from a group of one without any fallback: there is nowhere else to go.
Benching benching(const ModelGroup& group);

// True if the operator switched benching off for the deployment.
bool never_benches(const CooldownRules& rules);

// True if the failure says something bad about the deployment (DESIGN.md section 5, "counts against
// it").
bool counts_against_deployment(const Failure& failure);

// True if the class benches through the breaker only: a blip may look like this, a rate limit does
// not.
bool judged_by_breaker(ErrorClass error_class);

}  // namespace spillway
