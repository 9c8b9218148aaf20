#include "core/explain.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/eligibility.hpp"

namespace spillway {

namespace {

constexpr std::size_t kRehearsedSteps = 64;

// Answers from the real fleet and changes nothing in it.
class Rehearsal final : public Fleet {
 public:
  Rehearsal(Fleet& real, Random& random) : real_(real), random_(random) {}

  Availability availability(DeploymentIndex deployment, TimePoint now) override {
    return real_.availability(deployment, now);
  }
  Load load(DeploymentIndex deployment, Delivery delivery, TimePoint now) override {
    return real_.load(deployment, delivery, now);
  }
  std::optional<Permit> begin(DeploymentIndex deployment, TimePoint now,
                              DeploymentHealth::Force force, std::uint64_t) override {
    const Availability state = availability(deployment, now);
    const bool limited = state.full || state.limited_until > now;
    const bool may = (force == DeploymentHealth::Force::yes && !limited) || state.callable;
    return may ? std::optional(Permit{.deployment = deployment, .begun = now}) : std::nullopt;
  }
  HealthChange succeeded(const Permit&, TimePoint) override { return HealthChange::none; }
  HealthChange failed(const Permit&, const Failure&, Benching, TimePoint) override {
    return HealthChange::none;
  }
  void give_back(const Permit&) override {}
  void end(const Permit&) override {}
  void count_request(GroupIndex, TimePoint) override {}
  bool draw_retry(GroupIndex, TimePoint) override { return true; }
  void give_back_retry(GroupIndex) override {}
  Random& random() override { return random_; }

 private:
  Fleet& real_;
  Random& random_;
};

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

ExplainedGroup explain_group(const Config& config, Fleet& fleet, GroupIndex index,
                             const RequestTraits& traits, TimePoint now) {
  const Eligibility eligible(config, ModelMatch{index, {}}, traits);
  ExplainedGroup group{.group = index, .candidates = {}};
  for (const auto* list : {&config.at(index).deployments, &config.at(index).left_out})
    for (const DeploymentIndex deployment : *list)
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

}  // namespace

Explanation explain(const Config& config, Fleet& fleet, const ModelMatch& model,
                    const RequestTraits& traits, std::optional<ErrorClass> if_asked, Random& random,
                    TimePoint now) {
  const TimePoint begun = now;
  Rehearsal rehearsal(fleet, random);
  Explanation result;
  AttemptLoop loop(config, rehearsal, model, traits, now);
  const auto enter = [&](GroupIndex group) {
    const auto same = [group](const ExplainedGroup& seen) { return seen.group == group; };
    if (std::ranges::none_of(result.groups, same))
      result.groups.push_back(explain_group(config, fleet, group, traits, now));
  };
  enter(loop.group());
  attempt::Event event = attempt::Begin{};
  while (result.steps.size() < kRehearsedSteps) {
    const attempt::Action action = loop.next(event, now);
    enter(loop.group());
    RehearsedStep step{.after = now - begun, .group = loop.group(), .called = {}, .what = {}};
    if (const auto* call = std::get_if<attempt::Call>(&action)) {
      step.called = call->deployment;
      step.what = fmt::format("asks {}", config.at(call->deployment).id);
      if (if_asked)
        event = attempt::Failed{rehearsed_failure(*if_asked)};
      else
        event = attempt::Completed{};
    } else if (const auto* wait = std::get_if<attempt::Wait>(&action)) {
      step.what = fmt::format("waits {:.1f} s", in_seconds(wait->until - now));
      now = std::max(now, wait->until);
      event = attempt::TimerFired{};
    } else {
      const auto* end = std::get_if<attempt::GiveUp>(&action);
      step.what = end ? describe_end(*end) : "answers with what it was told";
      result.steps.push_back(std::move(step));
      break;
    }
    result.steps.push_back(std::move(step));
  }
  return result;
}

}  // namespace spillway
