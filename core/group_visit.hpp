// What one request knows of one model group while it asks there: who failed it, who may be asked
// again and when, and when the group is worth coming back to. It looks; the attempt loop acts.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/config.hpp"
#include "core/eligibility.hpp"
#include "core/failure.hpp"
#include "core/fleet.hpp"
#include "core/request_options.hpp"
#include "core/selection.hpp"
#include "core/time.hpp"

namespace spillway {

// Why a deployment cannot be asked before `Prospect::at`.
enum class Holdup : std::uint8_t {
  backoff,   // our own pause before asking again
  named,     // the upstream said when
  cooldown,  // a bench of a length that nobody named
  breaker,
  probe,  // somebody else's call decides; look again soon
  full,   // its own calls take all the room that it has; look again soon
};

struct Prospect {
  DeploymentIndex deployment;
  TimePoint at;
  Holdup holdup{};
  bool again = false;  // it failed this request: asking it draws on the retry budget
};

class GroupVisit {
 public:
  // What is borrowed outlives the visit.
  GroupVisit(const Config& config, Fleet& fleet, ModelMatch model, const RequestTraits& traits);

  const ModelMatch& model() const { return model_; }
  GroupIndex group() const { return model_.group; }

  // Withheld in a group of one without any fallback: there is nowhere else to go.
  Benching benching() const;

  void note_call(DeploymentIndex deployment);
  void note_failure(DeploymentIndex deployment, const Failure& failure, TimePoint now);
  // It let another answer first: it is asked again only where nobody else is left.
  void note_outrun(DeploymentIndex deployment) { outrun_ = deployment; }
  // A deployment asked there, by its id or as one of its group, is the same one here.
  void heed_failures_in(const GroupVisit& earlier);
  // Models whose windows were too small in another group are not asked again in this one.
  void heed_windows_exceeded_in(const GroupVisit& earlier);
  // The retry budget refused: nobody of this group is asked again.
  void forgo_retries() { retries_forgone_ = true; }

  bool called() const { return calls_ > 0; }
  // Nobody of the group may take this very request, whoever recovers.
  bool closed_to_request() const { return eligible_.closed_to_request().has_value(); }
  bool content_rejected() const { return content_rejected_; }
  bool has_failed(DeploymentIndex deployment) const { return find(deployment) != nullptr; }

  // A callable deployment that has not failed this request and is not among `refused`.
  std::optional<DeploymentIndex> pick_fresh(std::span<const DeploymentIndex> refused,
                                            TimePoint now);
  // Somebody besides `answering` has not failed this request and may take it, now or later.
  bool others_left(DeploymentIndex answering) const;
  // Everybody who may be asked later, or again.
  std::vector<Prospect> prospects(TimePoint now);
  // Of those that only the breaker holds back and that have not failed this request.
  std::optional<DeploymentIndex> least_recently_failed(TimePoint now);

  // Where to go from here, as the failures met so far say.
  std::span<const ModelMatch> fallbacks() const;
  // When the first deployment will serve again. nullopt if that is not known: one that was not told
  // to wait may serve at any moment.
  std::optional<TimePoint> recovery(TimePoint now);
  // The answer for a client none of whose calls could be made here (core/group_refusal.cpp).
  Failure refusal(std::optional<Duration> recovery, TimePoint now);

 private:
  struct FailedDeployment {
    DeploymentIndex deployment;
    unsigned asked_again = 0;
    Failure last;
    TimePoint again_at{};  // after the hint or the backoff
  };

  const FailedDeployment* find(DeploymentIndex deployment) const;
  const ModelGroup& configured() const { return config_->at(model_.group); }
  bool may_ask_again(const FailedDeployment& failed) const;
  std::optional<Prospect> prospect_of(DeploymentIndex deployment, TimePoint now);
  std::optional<std::uint64_t> exceeded_window() const;
  bool by_id() const { return model_.deployment.has_value(); }
  std::optional<DeploymentIndex> pick(std::span<const DeploymentIndex> excluded,
                                      PickContext::Reserve reserve, TimePoint now);
  std::span<const ModelMatch> targets_of(const FallbackRules& rules) const;
  std::optional<Failure> standing_refusal() const;
  unsigned retries_allowed(const FailedDeployment& failed) const;
  bool fits(DeploymentIndex deployment) const;

  const Config* config_;
  Fleet* fleet_;
  ModelMatch model_;
  const RequestTraits* traits_;
  Eligibility eligible_;
  std::vector<FailedDeployment> failed_;
  std::optional<DeploymentIndex> outrun_;
  unsigned calls_ = 0;
  unsigned retries_ = 0;
  bool retries_forgone_ = false;
  bool content_rejected_ = false;
  bool window_exceeded_ = false;
};

}  // namespace spillway
