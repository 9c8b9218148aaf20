// What would happen to a request now, and why: the candidates of every group it could reach, and a
// rehearsal of the attempts. Nothing is called and nothing is changed: the real attempt loop runs
// over a fleet that only pretends.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/attempt_loop.hpp"
#include "core/config.hpp"
#include "core/fleet.hpp"

namespace spillway {

// One deployment of a group the request could reach.
struct Candidate {
  DeploymentIndex deployment;
  bool callable = false;
  std::string why;  // "closed", "cooling after rate_limit for another 4.2 s", ...
};

struct ExplainedGroup {
  GroupIndex group;
  std::vector<Candidate> candidates;
};

// One step of the rehearsal, `after` the request began.
struct RehearsedStep {
  Duration after{};
  GroupIndex group;
  std::optional<DeploymentIndex> called;  // nullopt: waiting, or the end
  std::string what;                       // "asks groq-1", "waits 2.0 s", "answers 429: ..."
};

struct Explanation {
  std::vector<ExplainedGroup> groups;  // in the order they would be entered
  std::vector<RehearsedStep> steps;    // at most kRehearsedSteps
};

// `if_asked` is what every rehearsed call ends in; nullopt: the first one succeeds. `random` draws
// where the real thing would draw. Any thread that may use `fleet`.
Explanation explain(const Config& config, Fleet& fleet, const ModelMatch& model,
                    const RequestTraits& traits, std::optional<ErrorClass> if_asked, Random& random,
                    TimePoint now);

}  // namespace spillway
