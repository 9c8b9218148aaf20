// What would happen to a request now, and why: the candidates of every group it could reach, and a
// rehearsal of the attempts. Nothing is called and nothing real is changed: the real attempt loop
// runs over a copy of the fleet, where failures bench and time passes as they really would.
//
// A rehearsed call takes no time. A hedge is mentioned and not rehearsed: it would be a race.
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

// A group, or of it the one deployment that is called by its id.
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
  std::vector<RehearsedStep> steps;    // in the order of time; waits that follow each other are one
};

// `if_asked` is what every rehearsed call ends in; nullopt: the first one succeeds. `fleet` is a
// copy that the rehearsal uses up; it draws where the real one would.
Explanation explain(const Config& config, LocalFleet fleet, const ModelMatch& model,
                    const RequestTraits& traits, std::optional<ErrorClass> if_asked, TimePoint now);

}  // namespace spillway
