#include "core/explain.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "core/eligibility.hpp"
#include "core/itinerary.hpp"

namespace spillway {

namespace {

// More than a request takes, polling for a probe or for room throughout max_wait's default
// included; a rehearsal must not keep its thread from others.
constexpr unsigned kRehearsedActions = 1024;

double in_seconds(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

Candidate explain_candidate(const Config& config, Fleet& fleet, DeploymentIndex index,
                            const Eligibility& eligible, Endpoint endpoint, TimePoint now) {
  const Deployment& deployment = config.at(index);
  Candidate candidate{.deployment = index, .why = {}};
  if (!deployment.usable()) {
    candidate.why = "left out: " + deployment.unusable;
    return candidate;
  }
  if (deployment.targets[static_cast<std::size_t>(endpoint)].empty()) {
    candidate.why = fmt::format("does not offer /v1{}", traits(endpoint).path);
    return candidate;
  }
  if (!eligible.admits(index)) {
    const std::string tags = fmt::format("{}", fmt::join(deployment.tags, ", "));
    candidate.why = "not for requests with these tags; its own: " + (tags.empty() ? "none" : tags);
    return candidate;
  }
  const Availability state = fleet.availability(index, now);
  candidate.callable = state.callable;
  switch (state.state) {
    case HealthState::closed:
      candidate.why =
          fmt::format("{}, {} in flight", state.callable ? "callable" : "closed", state.in_flight);
      break;
    case HealthState::cooling:
    case HealthState::breaker_open:
      candidate.why =
          fmt::format("{} after {} for another {:.1f} s{}",
                      state.state == HealthState::cooling ? "cooling" : "breaker open",
                      name(state.cause), in_seconds(std::max(state.until - now, Duration::zero())),
                      state.named_by_upstream ? ", as its provider said" : "");
      break;
    case HealthState::half_open:
      candidate.why = state.callable ? fmt::format("to be probed after {}", name(state.cause))
                                     : fmt::format("being probed after {}", name(state.cause));
      break;
  }
  if (state.limited_until > now)
    candidate.why += fmt::format("; at its rpm or tpm for another {:.1f} s",
                                 in_seconds(state.limited_until - now));
  else if (state.full)
    candidate.why += "; calls in flight take all its room";
  if (deployment.order) candidate.why += fmt::format("; order {}", *deployment.order);
  if (deployment.weighted) candidate.why += fmt::format("; weight {:g}", deployment.weight);
  return candidate;
}

ExplainedGroup explain_group(const Config& config, Fleet& fleet, const ModelMatch& model,
                             const RequestTraits& traits, TimePoint now) {
  const Eligibility eligible(config, model, traits);
  ExplainedGroup group{.group = model.group, .candidates = {}};
  const ModelGroup& configured = config.at(model.group);
  for (const auto* list : {&configured.deployments, &configured.left_out})
    for (const DeploymentIndex deployment : *list)
      if (!model.deployment || model.deployment == deployment)
        group.candidates.push_back(
            explain_candidate(config, fleet, deployment, eligible, traits.endpoint, now));
  return group;
}

Failure rehearsed_failure(ErrorClass error_class) {
  Failure failure;
  failure.error_class = error_class;
  failure.status = default_status(error_class);
  failure.message = name(error_class);
  failure.concerns_deployment = true;
  return failure;
}

std::string describe_end(const attempt::GiveUp& end) {
  std::string text = fmt::format("answers {}: {}", end.failure.status, end.failure.message);
  if (end.retry_after) text += fmt::format(" (retry-after {:.1f} s)", in_seconds(*end.retry_after));
  return text;
}

class Rehearsal {
 public:
  Rehearsal(const Config& config, LocalFleet fleet, const ModelMatch& model,
            const RequestTraits& traits, std::optional<ErrorClass> if_asked, TimePoint now)
      : config_(config),
        traits_(traits),
        if_asked_(if_asked),
        begun_(now),
        now_(now),
        as_it_is_(fleet),
        beside_(fleet),
        fleet_(std::move(fleet)),
        way_(config, beside_, model, traits),
        loop_(config, fleet_, model, traits, now) {}

  Explanation run() {
    explain_current();
    attempt::Event event = attempt::Begin{};
    for (unsigned i = 0; i < kRehearsedActions; ++i) {
      const attempt::Action action = loop_.next(event, now_);
      follow();
      if (const auto* call = std::get_if<attempt::Call>(&action)) {
        event = make(*call);
      } else if (const auto* wait = std::get_if<attempt::Wait>(&action)) {
        sit_out(*wait);
        event = attempt::TimerFired{};
      } else {
        const auto* end = std::get_if<attempt::GiveUp>(&action);
        say(end ? describe_end(*end) : "answers with what it was told");
        return std::move(result_);
      }
    }
    say("and so on");
    return std::move(result_);
  }

 private:
  RehearsedStep& say(std::string what) {
    waiting_since_.reset();
    result_.steps.push_back(
        {.after = now_ - begun_, .group = loop_.group(), .called = {}, .what = std::move(what)});
    return result_.steps.back();
  }

  // How the call ends.
  attempt::Event make(const attempt::Call& call) {
    std::string what = fmt::format("asks {}", config_.at(call.deployment).id);
    if (call.hedge_at && second_for(call))
      what += fmt::format(
          ", and a second one if no content has come after {:.1f} s and hedges are left",
          in_seconds(*call.hedge_at - now_));
    say(std::move(what)).called = call.deployment;
    if (!if_asked_) return attempt::Completed{};
    Failure failure = rehearsed_failure(*if_asked_);
    way_.current().note_failure(call.deployment, failure, now_);
    return attempt::Failed{.failure = std::move(failure)};
  }

  bool second_for(const attempt::Call& call) {
    const std::array slow = {call.deployment};
    return way_.current().pick_fresh(slow, now_) || way_.next() != nullptr;
  }

  void sit_out(const attempt::Wait& wait) {
    if (!waiting_since_) {
      say("");
      waiting_since_ = now_;
    }
    now_ = std::max(now_, wait.until);
    result_.steps.back().what = fmt::format("waits {:.1f} s", in_seconds(now_ - *waiting_since_));
  }

  // Goes where the loop went: it tells which group it asks, not whether for one deployment's id.
  void follow() {
    while (loop_.fallbacks() > way_.fallbacks() && way_.next() != nullptr) {
      way_.advance();
      explain_current();
    }
  }

  void explain_current() {
    result_.groups.push_back(
        explain_group(config_, as_it_is_, way_.current().model(), traits_, begun_));
  }

  const Config& config_;
  const RequestTraits& traits_;
  std::optional<ErrorClass> if_asked_;
  TimePoint begun_;
  TimePoint now_;
  LocalFleet as_it_is_;
  LocalFleet beside_;  // for questions that the loop would not ask: its draws are left alone
  LocalFleet fleet_;
  Itinerary way_;  // the loop's own, which it does not show
  AttemptLoop loop_;
  std::optional<TimePoint> waiting_since_;
  Explanation result_;
};

}  // namespace

Explanation explain(const Config& config, LocalFleet fleet, const ModelMatch& model,
                    const RequestTraits& traits, std::optional<ErrorClass> if_asked,
                    TimePoint now) {
  return Rehearsal(config, std::move(fleet), model, traits, if_asked, now).run();
}

}  // namespace spillway
