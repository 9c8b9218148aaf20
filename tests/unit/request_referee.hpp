// Watches one simulated request and says whether each action may follow what happened before. It
// keeps its own account of whom the request asked and what came of it, and takes its rules from
// DESIGN.md section 5 (simulated_rules.hpp), not from the code that it judges.
//
// Jitter makes some times known only as a range; what the referee demands holds for all of it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/attempt_loop.hpp"
#include "simulated_fleet.hpp"

namespace spillway::simulation {

class RequestReferee {
 public:
  RequestReferee(const Config& config, const SimulatedFleet& fleet, std::uint32_t request,
                 ModelMatch model, RequestTraits traits, TimePoint now);

  // What happened, before the loop is told.
  void note_failure(const attempt::Failed& event, TimePoint now);
  void note_head(attempt::Leg leg) { at(leg).draws_retry = false; }
  void note_head_sent();
  void note_content(attempt::Leg leg);
  void note_complete(attempt::Leg leg);
  void note_hedge_due() { hedge_due_ = true; }

  // What the loop wants done about it.
  void judge(const attempt::Action& action, const AttemptLoop& loop,
             const SimulatedFleet::Step& step, TimePoint now);

  bool over() const { return over_; }
  bool calling() const { return legs_[0].calling || legs_[1].calling; }
  bool hedged() const { return hedged_; }
  unsigned calls() const { return calls_; }
  unsigned again() const { return again_; }
  GroupIndex group() const { return visits_.back().model.group; }

 private:
  struct Asked {
    DeploymentIndex deployment;
    unsigned calls = 0;
    Failure last;
    TimePoint earliest;  // when it may be asked again, at the earliest and at the latest
    TimePoint latest;
    std::vector<TimePoint> limited{};  // its unbroken row of 429s without a hint, by time of call
  };
  struct Visit {
    ModelMatch model;
    std::optional<DeploymentIndex> outrun{};  // too slow once, asked again only at last
    std::vector<Asked> asked{};               // those who failed this request
    unsigned calls = 0;
    unsigned again = 0;
    bool forgone = false;  // nobody here is asked again
    bool refused = false;  // by the retry budget: perhaps nobody is
    bool content_rejected = false;
    bool window_exceeded = false;
  };
  struct Leg {
    std::optional<attempt::Call> calling{};
    TimePoint called{};
    bool draws_retry = false;
    bool ahead = false;     // asked in the fallback that is not entered yet
    std::size_t visit = 0;  // else in this one
  };
  // Somebody who could be waited for.
  struct Candidate {
    TimePoint earliest;
    TimePoint latest;
    bool failed = false;   // this request
    bool backoff = false;  // our own pause: not part of max_wait
    bool named = false;    // the upstream said when
    bool breaker = false;
    bool benched = false;
  };

  void follow(const AttemptLoop& loop, const SimulatedFleet::Step& step, TimePoint now);
  void leave(const Visit& visit, TimePoint now) const;
  void judge_action(const attempt::Call& call, const SimulatedFleet::Step& step, TimePoint now);
  void judge_action(const attempt::Wait& wait, const SimulatedFleet::Step& step, TimePoint now);
  void judge_action(const attempt::GiveUp& end, const SimulatedFleet::Step& step, TimePoint now);
  void judge_action(const attempt::Finish&, const SimulatedFleet::Step&, TimePoint);
  void judge_action(const attempt::Continue&, const SimulatedFleet::Step&, TimePoint);
  void judge_fresh(DeploymentIndex deployment, const SimulatedFleet::Step& step, TimePoint now);
  void judge_last_resort(DeploymentIndex deployment, TimePoint now) const;
  void judge_resumed(const attempt::Call& call);
  void judge_hedge(const attempt::Call& call, Visit& visited, TimePoint now);
  void judge_hedge_due(const SimulatedFleet::Step& step, TimePoint now);
  Visit& visit_of_hedge(const attempt::Call& call, TimePoint now);
  bool any_to_hedge(const Visit& visit, TimePoint now) const;
  void settle_on(attempt::Leg winner);
  void enter(Visit next);
  void judge_again(const Asked& asked, TimePoint called, TimePoint now);
  void judge_limited(const Asked& asked, TimePoint now) const;
  void judge_last_word(const attempt::GiveUp& end, TimePoint now) const;
  void judge_refusal(const Failure& failure) const;
  void judge_reason_to_end(const SimulatedFleet::Step& step, TimePoint now) const;

  Leg& at(attempt::Leg leg) { return legs_[static_cast<std::size_t>(leg)]; }
  Visit& visit_of(const Leg& leg) { return leg.ahead ? *ahead_ : visits_[leg.visit]; }
  const ModelGroup& at(const Visit& visit) const { return config_.at(visit.model.group); }
  Visit& visit() { return visits_.back(); }
  const Visit& visit() const { return visits_.back(); }
  static const Asked* find(const Visit& visit, DeploymentIndex deployment);
  bool offers(DeploymentIndex deployment) const;
  bool too_small_before(const Visit& visit, DeploymentIndex deployment) const;
  bool windows_exceeded(const Visit& visit) const;
  bool usable(const Visit& visit, DeploymentIndex deployment) const;
  bool is_fresh(const Visit& visit, DeploymentIndex deployment, TimePoint now) const;
  bool any_fresh(const Visit& visit, TimePoint now) const;
  bool may_ask_fresh(const Visit& visit) const;
  bool may_ask_again(const Visit& visit, const Asked& asked, bool surely) const;
  bool may_resume() const;
  bool fallback_left() const { return next_fallback().has_value(); }
  std::optional<ModelMatch> next_fallback() const;
  const std::vector<ModelMatch>& fallbacks_of(const Visit& visit) const;
  std::vector<Candidate> candidates(const Visit& visit, bool surely, TimePoint now) const;
  bool worth_waiting(const Candidate& candidate, bool surely, TimePoint now) const;
  bool must_wait(const Candidate& candidate, TimePoint now) const;
  bool is_broken(DeploymentIndex deployment, TimePoint now) const;
  bool owes_last_resort(const SimulatedFleet::Step& step, TimePoint now) const;
  std::optional<TimePoint> recovery(const Visit& visit, TimePoint now) const;
  std::optional<TimePoint> end_of_time() const;
  Duration longest_call(const Deployment& deployment) const;

  const Config& config_;
  const SimulatedFleet& fleet_;
  std::uint32_t request_;
  RequestTraits traits_;
  TimePoint begun_;
  std::vector<Visit> visits_;
  std::vector<ModelMatch> pending_;

  std::optional<Visit> ahead_;
  Leg legs_[attempt::kLegs];
  bool waiting_ = false;
  bool hedged_ = false;
  bool hedge_due_ = false;               // was just said
  bool hopeless_ = false;                // a call met what would happen everywhere
  std::optional<Failure> expected_;      // of the first group, for the client
  std::optional<Failure> broke_stream_;  // the first one after content, for the client
  bool resumable_ = false;               // the last failure left a stream that can go on
  bool prefix_allowed_ = true;           // by a prefix too
  bool unheeded_ = false;                // the last failure is one of a prefix not heeded
  attempt::Call last_call_;
  std::optional<Failure> last_failure_;  // set while the loop decides what follows from it
  CommitPoint committed_ = CommitPoint::nothing_sent;
  unsigned calls_ = 0;
  unsigned fresh_ = 0;
  unsigned again_ = 0;
  Duration waited_least_{};  // of max_wait
  Duration waited_most_{};
  bool last_resort_ = false;
  bool over_ = false;
};

}  // namespace spillway::simulation
