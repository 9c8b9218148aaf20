// Which deployment is asked next, and when to stop: the heart of the gateway, as a machine without
// I/O.
//
//   next(event, now) -> action;  the driver (server/) is a switch that carries the action out and
//   reports what happened.
//
// Order of what is tried (DESIGN.md section 5): every other callable deployment of the group that
// has not failed this request (failover, never refused); waiting, if one will be free within
// max_wait at a time its upstream named; asking again, after a backoff and within the retry budget;
// the fallback groups. A stream that breaks after content was sent is continued elsewhere, where
// that can be done exactly (DESIGN.md section 6). What the client has already been sent bounds what
// can still be done: CommitPoint.
//
// Each Call carries a Permit that the loop itself returns to the fleet: when the driver reports the
// end, or when the loop is destroyed (the client left).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/config.hpp"
#include "core/failure.hpp"
#include "core/fleet.hpp"
#include "core/itinerary.hpp"
#include "core/request_options.hpp"
#include "core/stream_transcript.hpp"
#include "core/time.hpp"

namespace spillway {

// How much of the answer is out. Failover is free before the first commit point, possible until the
// second, and over after it.
enum class CommitPoint : std::uint8_t {
  nothing_sent,
  head_sent,     // the status can no longer change: a final failure is an event of the stream
  content_sent,  // what was sent cannot be taken back: another may only continue it exactly
};

namespace attempt {

// --- events: what happened -----------------------------------------

struct Begin {};
// The upstream began to answer with a success; the retry budget is given back.
struct HeadArrived {};
// Comments kept a waiting client's stream open: the first commit point.
struct HeadSent {};
// First content of a call's stream is about to be relayed: the second commit point, if not both at
// once.
struct ContentStarted {};
// The whole answer was relayed, or a plain answer is complete.
struct Completed {};
struct Failed {
  Failure failure;
  // After content was sent: another deployment could continue the stream exactly.
  bool resumable = false;
};
// A reused connection closed before any response byte: not the deployment's fault.
struct StaleConnection {};
// The Wait is over.
struct TimerFired {};
using Event = std::variant<Begin, HeadArrived, HeadSent, ContentStarted, Completed, Failed,
                           StaleConnection, TimerFired>;

// --- actions: what to do -------------------------------------------

// Make a call. `deadline` bounds it: to the complete plain answer, or to a stream's first token.
struct Call {
  DeploymentIndex deployment;
  std::string upstream_model;
  TimePoint deadline;
  enum class Connection : std::uint8_t { pooled, fresh } connection = Connection::pooled;
  bool client_deadline = false;  // the deadline is one the client asked for
  Resume resume = Resume::no;    // to go on with a stream whose content was sent already
};
// Then report TimerFired.
struct Wait {
  TimePoint until;
};
// Nothing to decide: go on with the answer.
struct Continue {};
// The request is over, successfully.
struct Finish {};
// Answer the client with this: with its status while nothing is sent, else as the stream's end. At
// most one of the last two is set.
struct GiveUp {
  Failure failure;
  CommitPoint committed = CommitPoint::nothing_sent;
  std::optional<Duration> retry_after;  // whole recovery time of the soonest deployment
  bool should_not_retry = false;        // x-should-retry: false
};
using Action = std::variant<Call, Wait, Continue, Finish, GiveUp>;

}  // namespace attempt

// One entry per finished attempt, for the access log and the metrics.
struct AttemptRecord {
  DeploymentIndex deployment;
  std::optional<ErrorClass> error_class;  // nullopt: success
  HealthChange change = HealthChange::none;
  Duration took{};
};

class AttemptLoop {
 public:
  // `config` and `fleet` outlive the loop.
  AttemptLoop(const Config& config, Fleet& fleet, ModelMatch model, RequestTraits traits,
              TimePoint now);
  ~AttemptLoop();  // gives back what is still held
  AttemptLoop(const AttemptLoop&) = delete;
  AttemptLoop& operator=(const AttemptLoop&) = delete;

  attempt::Action next(const attempt::Event& event, TimePoint now);

  unsigned attempts() const { return static_cast<unsigned>(records_.size() + (permit_ ? 1U : 0U)); }
  unsigned fallbacks() const { return itinerary_.fallbacks(); }      // fallback groups entered
  GroupIndex group() const { return itinerary_.current().group(); }  // the one being asked now
  CommitPoint committed() const { return committed_; }
  const std::vector<AttemptRecord>& records() const { return records_; }

 private:
  attempt::Action on(const attempt::Begin& event, TimePoint now);
  attempt::Action on(const attempt::HeadArrived& event, TimePoint now);
  attempt::Action on(const attempt::HeadSent& event, TimePoint now);
  attempt::Action on(const attempt::ContentStarted& event, TimePoint now);
  attempt::Action on(const attempt::Completed& event, TimePoint now);
  attempt::Action on(const attempt::Failed& event, TimePoint now);
  attempt::Action on(const attempt::StaleConnection& event, TimePoint now);
  attempt::Action on(const attempt::TimerFired& event, TimePoint now);

  attempt::Action decide(TimePoint now);
  std::optional<attempt::Action> ask_fresh(TimePoint now);
  std::optional<attempt::Action> wait_or_ask_again(TimePoint now);
  std::optional<attempt::Action> ask_last_resort(TimePoint now);
  std::optional<attempt::Action> wait_for_breaker(TimePoint now);
  attempt::Action resume(const attempt::Failed& event, TimePoint now);
  attempt::Action give_up(TimePoint now);
  attempt::GiveUp last_word(TimePoint now);

  std::optional<attempt::Action> call(DeploymentIndex deployment, TimePoint now,
                                      DeploymentHealth::Force force = DeploymentHealth::Force::no);
  Duration time_for(DeploymentIndex deployment) const;
  void set_deadline(attempt::Call& call, TimePoint now) const;
  attempt::Action wait(const Prospect& prospect, TimePoint now);
  bool worth_waiting_for(const Prospect& prospect, TimePoint now) const;
  bool may_ask_fresh() const;
  std::optional<TimePoint> end_of_patience() const;  // when the client's own deadline passes
  std::optional<TimePoint> end_of_total() const;     // when timeouts.total is over
  std::optional<TimePoint> end_of_time() const;      // the sooner of both

  bool fallback_left() const;
  bool enter_fallback(TimePoint now);
  GroupVisit& visit() { return itinerary_.current(); }
  const GroupVisit& visit() const { return itinerary_.current(); }

  bool draw_retry(TimePoint now);
  void give_back_retry();
  void settle(const Failure* failure, TimePoint now);
  void note_time(TimePoint now);

  const Config& config_;
  Fleet& fleet_;
  RequestTraits traits_;
  TimePoint begun_;
  Itinerary itinerary_;
  std::optional<Failure> first_failure_;   // of the first group: what the client is told at the end
  std::optional<Failure> stream_failure_;  // what cut the stream that was begun
  std::vector<AttemptRecord> records_;
  unsigned fresh_calls_ = 0;  // to deployments that had not failed this request
  Duration waited_{};         // of max_wait, backoffs not counted
  bool last_resort_used_ = false;
  CommitPoint committed_ = CommitPoint::nothing_sent;
  bool over_ = false;  // Finish or GiveUp was returned

  // The call under way.
  std::optional<Permit> permit_;
  attempt::Call call_;
  bool retry_drawn_ = false;
  bool success_recorded_ = false;  // of the probe under way, by its first content
  HealthChange content_change_ = HealthChange::none;
};

}  // namespace spillway
