// One random world: a configuration, its providers, and many requests at once under a virtual
// clock, all of it from one seed. The real AttemptLoop decides; a referee for each request and a
// bench book for each deployment judge every step (request_referee.hpp, simulated_health.hpp).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <queue>
#include <string>
#include <vector>

#include "request_referee.hpp"
#include "simulated_fleet.hpp"
#include "simulated_upstream.hpp"

namespace spillway::simulation {

// What the worlds met, so that a test can tell that they were wild enough.
struct Tally {
  std::uint64_t requests = 0;
  std::uint64_t finished = 0;
  std::uint64_t gave_up = 0;
  std::uint64_t left = 0;  // the client was gone first
  std::uint64_t calls = 0;
  std::uint64_t asked_again = 0;
  std::uint64_t waits = 0;
  std::uint64_t fallbacks = 0;
  std::uint64_t cut_after_content = 0;
  std::uint64_t hedges = 0;
  std::uint64_t resumed = 0;  // calls to go on with a stream that broke
  std::uint64_t probes = 0;
  std::uint64_t last_resorts = 0;
  std::uint64_t budget_refusals = 0;
};

class World {
 public:
  // `trace`, where given, is told what happens, a line each.
  World(std::uint64_t seed, unsigned requests, std::string* trace = nullptr);

  // Throws RuleBroken. Adds to `tally` what was met.
  void run(Tally& tally);

 private:
  enum class Kind : unsigned char {
    begin,
    head,
    content,
    complete,
    fail,
    stale,
    timer,
    keepalive,
    hedge,  // due
    noise,
    leave,
  };
  struct Entry {
    TimePoint when;
    std::uint64_t sequence;
    std::uint32_t request;
    Kind kind;
    attempt::Leg leg = attempt::Leg::first;
    unsigned call = 0;  // of that leg
    // Later first: a priority queue shows its greatest.
    bool operator<(const Entry& other) const {
      return when != other.when ? when > other.when : sequence > other.sequence;
    }
  };
  struct Request {
    std::unique_ptr<AttemptLoop> loop;
    std::unique_ptr<RequestReferee> referee;
    RequestTraits traits;
    struct Leg {
      Plan plan;
      TimePoint deadline;
      unsigned call = 0;  // counts: what was to come of an earlier one does not
      bool active = false;
    };
    std::array<Leg, attempt::kLegs> legs;
    Leg& at(attempt::Leg leg) { return legs[static_cast<std::size_t>(leg)]; }
    unsigned steps = 0;
    bool ended = false;
  };

  void schedule(TimePoint when, std::uint32_t request, Kind kind);
  void schedule(TimePoint when, std::uint32_t request, Kind kind, attempt::Leg leg);
  void run_agenda();
  void step(const Entry& entry);
  void begin(std::uint32_t index);
  void leave(std::uint32_t index);
  void report(std::uint32_t index, const attempt::Event& event, const char* what);
  void fail(std::uint32_t index, Failure failure, attempt::Leg leg);
  void step_call(const Entry& entry);
  void carry_out(std::uint32_t index, const attempt::Call& call);
  void carry_out(std::uint32_t index, const attempt::Wait& wait);
  void carry_out(std::uint32_t, const attempt::Continue&) {}
  void carry_out(std::uint32_t index, const attempt::Finish&);
  void carry_out(std::uint32_t index, const attempt::GiveUp& end);
  void plan_next(std::uint32_t index, Duration after, Kind kind, attempt::Leg leg);
  void end(std::uint32_t index);
  void poke(std::uint32_t index);
  void heal_and_check();
  bool first_group_offers(const Request& request) const;
  void describe_config();
  template <class... Parts>
  void log(const Parts&... parts);

  Random random_;
  Config config_;
  SimulatedFleet fleet_;
  std::vector<Upstream> upstreams_;
  std::vector<Request> requests_;
  std::priority_queue<Entry> agenda_;
  std::string* trace_;
  Tally tally_;
  std::uint64_t sequence_ = 0;
  std::uint64_t failures_ = 0;
  TimePoint now_;
  bool healed_ = false;
};

}  // namespace spillway::simulation
