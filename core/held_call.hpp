// One leg of a request: the call under way, if any, and what it holds of the fleet: a permit, and
// perhaps one retry of a group's budget. Whatever is still held goes back when the leg goes.
#pragma once

#include <optional>

#include "core/attempt.hpp"
#include "core/failure.hpp"
#include "core/fleet.hpp"
#include "core/group_visit.hpp"
#include "core/time.hpp"

namespace spillway {

class HeldCall {
 public:
  // `fleet` outlives it.
  HeldCall(Fleet& fleet, Delivery delivery, attempt::Leg leg)
      : fleet_(fleet), delivery_(delivery), leg_(leg) {}
  ~HeldCall();
  HeldCall(const HeldCall&) = delete;
  HeldCall& operator=(const HeldCall&) = delete;

  bool active() const { return permit_.has_value(); }

  // Before begin(), of the budget of `group`; true: it is held until give_back_retry(), the head or
  // the end of the call.
  bool draw_retry(GroupIndex group, TimePoint now);
  bool draw_hedge(GroupIndex group, TimePoint now);
  void give_back_retry();

  // False: the deployment's health or limits do not allow it now. `resumed`: it goes on with a
  // stream, and how long that takes to begin says nothing.
  bool begin(DeploymentIndex deployment, DeploymentHealth::Force force, std::uint64_t tokens,
             bool resumed, TimePoint now);
  void content_started(TimePoint now);

  // Each ends the call.
  AttemptRecord answered(TimePoint now);
  AttemptRecord failed(const Failure& failure, Benching benching, TimePoint now);
  AttemptRecord outrun(TimePoint now);
  AttemptRecord abandoned(ErrorClass why, TimePoint now);  // nothing is held against it

 private:
  void note_time(TimePoint now);
  void note_silence(TimePoint now);
  AttemptRecord end(AttemptRecord record, TimePoint now);

  Fleet& fleet_;
  Delivery delivery_;
  attempt::Leg leg_;
  std::optional<Permit> permit_;
  std::optional<GroupIndex> retry_of_;  // whose budget a retry is held of
  bool timed_ = false;                  // its time is known, or says nothing
  bool judged_ = false;                 // a probe's success was told, by its first content
  HealthChange change_ = HealthChange::none;
};

}  // namespace spillway
