// Which deployment is asked next, and when to stop: the heart of the gateway, as a machine without I/O.
//
//   next(event, now) -> action;  the driver (server/) is a switch that carries the action out and reports what happened.
//
// Order of what is tried (DESIGN.md section 5): every other callable deployment of the group that has not failed this
// request (failover, never refused); waiting, if one will be free within max_wait at a time its upstream named; asking
// again, after a backoff and within the retry budget; the fallback groups. Two commit points: head_sent, after
// which the status can no longer change, and content_started, after which nothing is tried any more.
//
// Each Call carries a Permit that the loop itself returns to the fleet: when the driver reports the end, or when the
// loop is destroyed (the client left).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/config.hpp"
#include "core/failure.hpp"
#include "core/fleet.hpp"
#include "core/time.hpp"

namespace spillway {

namespace attempt {

// --- events: what happened ---------------------------------------------------------------------
struct Begin {};
struct HeadArrived {};      // the upstream began to answer with a success; the retry budget is given back
struct ContentStarted {};   // first content of a stream is about to be relayed: the second commit point
struct Completed {};        // the whole answer was relayed, or a plain answer is complete
struct Failed { Failure failure; };
// A reused connection closed before any response byte: not the deployment's fault (keep-alive race).
struct StaleConnection {};
struct TimerFired {};       // the Wait is over
using Event = std::variant<Begin, HeadArrived, ContentStarted, Completed, Failed, StaleConnection, TimerFired>;

// --- actions: what to do -----------------------------------------------------------------------
// Make a call. `deadline` bounds it: to the complete plain answer, or to a stream's first token.
struct Call {
  DeploymentIndex deployment;
  std::string upstream_model;
  TimePoint deadline;
  enum class Connection : std::uint8_t { pooled, fresh } connection = Connection::pooled;
  bool client_deadline = false;  // the deadline is one the client asked for
};
struct Wait { TimePoint until; };   // then report TimerFired
struct Continue {};                 // nothing to decide: go on with the answer
struct Finish {};                   // the request is over, successfully
// Answer the client with this. At most one of the two is set.
struct GiveUp {
  Failure failure;
  std::optional<Duration> retry_after;  // whole recovery time of the soonest deployment
  bool should_not_retry = false;        // x-should-retry: false
};
using Action = std::variant<Call, Wait, Continue, Finish, GiveUp>;

}  // namespace attempt

// What is fixed about one request.
struct RequestTraits {
  Endpoint endpoint = Endpoint::chat_completions;
  bool streaming = false;
  std::optional<std::string> deployment_id;  // reserved: a call by id
};

// One entry per finished attempt, for the access log and the metrics.
struct AttemptRecord {
  DeploymentIndex deployment;
  std::optional<ErrorClass> error_class;  // nullopt: success
  HealthChange change = HealthChange::none;
};

class AttemptLoop {
 public:
  // `config` and `fleet` outlive the loop.
  AttemptLoop(const Config& config, Fleet& fleet, ModelMatch model, RequestTraits traits, TimePoint now);
  ~AttemptLoop();  // gives back what is still held
  AttemptLoop(const AttemptLoop&) = delete;
  AttemptLoop& operator=(const AttemptLoop&) = delete;

  attempt::Action next(const attempt::Event& event, TimePoint now);

  unsigned attempts() const { return static_cast<unsigned>(records_.size() + (permit_ ? 1u : 0u)); }
  unsigned fallbacks() const { return fallbacks_; }   // fallback groups entered
  GroupIndex group() const { return model_.group; }   // the one being asked now
  const std::vector<AttemptRecord>& records() const { return records_; }

 private:
  struct FailedDeployment {
    DeploymentIndex deployment;
    unsigned asked_again = 0;
    Failure last;
    TimePoint at;
  };

  attempt::Action decide(TimePoint now);
  attempt::Action call(DeploymentIndex deployment, TimePoint now, DeploymentHealth::Force force);
  attempt::Action give_up(TimePoint now);
  bool enter_fallback(TimePoint now);
  void settle(const Failure* failure, TimePoint now);

  const Config& config_;
  Fleet& fleet_;
  ModelMatch model_;
  GroupIndex first_group_;
  RequestTraits traits_;
  TimePoint begun_;
  std::optional<Permit> permit_;
  bool retry_drawn_ = false;
  bool content_started_ = false;
  std::vector<FailedDeployment> failed_;      // in the group being asked
  std::vector<GroupIndex> groups_tried_;
  std::optional<Failure> first_failure_;      // of the first group: what the client is told at the end
  std::vector<ModelMatch> pending_fallbacks_;
  unsigned fallbacks_ = 0;
  TimePoint waited_from_{};
  std::vector<AttemptRecord> records_;
};

}  // namespace spillway
