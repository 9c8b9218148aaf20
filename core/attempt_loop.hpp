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
// A call that is slow to show its first content may be hedged: another deployment is asked too, the
// first content wins, and the other call is cancelled (core/attempt_hedge.cpp).
//
// What a call holds of the fleet goes back when the driver reports its end, abandons the request
// (its client left), or destroys the loop.
#pragma once

#include <memory>
#include <optional>
#include <span>

#include "core/attempt.hpp"
#include "core/config.hpp"
#include "core/fleet.hpp"
#include "core/held_call.hpp"
#include "core/inline_vector.hpp"
#include "core/itinerary.hpp"
#include "core/request_options.hpp"
#include "core/time.hpp"

namespace spillway {

class AttemptLoop {
 public:
  // `config` and `fleet` outlive the loop.
  AttemptLoop(const Config& config, Fleet& fleet, ModelMatch model, RequestTraits traits,
              TimePoint now);
  AttemptLoop(const AttemptLoop&) = delete;
  AttemptLoop& operator=(const AttemptLoop&) = delete;

  attempt::Action next(const attempt::Event& event, TimePoint now);
  // The request is over: calls that are under way end as `why`, which says nothing about their
  // deployments.
  void abandon(ErrorClass why, TimePoint now);

  const RequestTraits& traits() const { return traits_; }
  unsigned attempts() const;                                         // finished and under way
  unsigned fallbacks() const { return itinerary_.fallbacks(); }      // fallback groups entered
  GroupIndex group() const { return itinerary_.current().group(); }  // the one being asked now
  CommitPoint committed() const { return committed_; }
  // Once content was sent: true if anybody is left who may be asked to go on, should the stream
  // break.
  bool others_left() const;
  // The finished ones, until the next event.
  std::span<const AttemptRecord> records() const { return records_.view(); }

 private:
  // One of the calls that may be under way, and for whom it is made.
  struct Slot {
    Slot(Fleet& fleet, const RequestTraits& traits, attempt::Leg leg);
    HeldCall held;
    attempt::Call call{};
    GroupVisit* visit = nullptr;
  };

  attempt::Action on(const attempt::Begin& event, TimePoint now);
  attempt::Action on(const attempt::HeadArrived& event, TimePoint now);
  attempt::Action on(const attempt::HeadSent& event, TimePoint now);
  attempt::Action on(const attempt::ContentStarted& event, TimePoint now);
  attempt::Action on(const attempt::Completed& event, TimePoint now);
  attempt::Action on(const attempt::Failed& event, TimePoint now);
  attempt::Action on(const attempt::StaleConnection& event, TimePoint now);
  attempt::Action on(const attempt::HedgeDue& event, TimePoint now);
  attempt::Action on(const attempt::TimerFired& event, TimePoint now);

  attempt::Action decide(TimePoint now);
  std::optional<attempt::Action> ask_fresh(TimePoint now);
  std::optional<attempt::Action> wait_or_ask_again(TimePoint now);
  std::optional<attempt::Action> ask_last_resort(TimePoint now);
  std::optional<attempt::Action> wait_for_breaker(TimePoint now);
  void excuse(Failure& failure, const GroupVisit& visited) const;
  attempt::Action resume(const Slot& broken, const attempt::Failed& event, TimePoint now);
  attempt::Action give_up(TimePoint now);
  attempt::GiveUp last_word(TimePoint now);

  // Of the first leg, for the group being visited.
  std::optional<attempt::Action> call(DeploymentIndex deployment, TimePoint now,
                                      DeploymentHealth::Force force = DeploymentHealth::Force::no);
  bool begin_call(Slot& slot, GroupVisit& visit, DeploymentIndex deployment, TimePoint now,
                  DeploymentHealth::Force force);
  Duration time_for(DeploymentIndex deployment) const;
  void set_deadline(attempt::Call& call, TimePoint now) const;
  attempt::Action wait(const Prospect& prospect, TimePoint now);
  bool worth_waiting_for(const Prospect& prospect, TimePoint now) const;
  bool may_ask_fresh() const;
  std::optional<TimePoint> end_of_patience() const;  // when the client's own deadline passes
  std::optional<TimePoint> end_of_total() const;     // when timeouts.total is over
  std::optional<TimePoint> end_of_time() const;      // the sooner of both

  std::optional<TimePoint> hedge_time(const attempt::Call& call, TimePoint now);
  std::optional<attempt::Action> hedge_in(GroupVisit& visit, TimePoint now);
  // `winner` has content: it is the request's only call from now on.
  void settle_on(Slot& winner, TimePoint now);

  bool fallback_left() const;
  bool enter_fallback(TimePoint now);
  GroupVisit& visit() { return itinerary_.current(); }
  const GroupVisit& visit() const { return itinerary_.current(); }

  // An event of the hedge only follows its call.
  Slot& slot(attempt::Leg leg) { return leg == attempt::Leg::hedge ? *hedge_ : first_; }
  bool hedging() const { return hedge_ && hedge_->held.active(); }
  bool calling() const { return first_.held.active() || hedging(); }

  const Config& config_;
  Fleet& fleet_;
  RequestTraits traits_;
  TimePoint begun_;
  Itinerary itinerary_;
  Slot first_;
  // Seldom there, and large.
  std::unique_ptr<Slot> hedge_;
  std::unique_ptr<Failure> first_failure_;   // of the first group: what the client is told at last
  std::unique_ptr<Failure> stream_failure_;  // what cut the stream that was begun
  InlineVector<AttemptRecord, 2> records_;
  unsigned fresh_calls_ = 0;  // to deployments that had not failed this request
  Duration waited_{};         // of max_wait, backoffs not counted
  bool last_resort_used_ = false;
  bool hedged_ = false;
  bool hopeless_ = false;  // a call met what would happen everywhere
  CommitPoint committed_ = CommitPoint::nothing_sent;
  bool over_ = false;  // Finish or GiveUp was returned
};

}  // namespace spillway
