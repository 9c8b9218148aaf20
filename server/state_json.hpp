// The JSON pages about the gateway itself. Made from the configuration and the fleet alone: no
// upstream is called, and nothing secret is in them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/config.hpp"
#include "core/fleet.hpp"
#include "core/time.hpp"

namespace spillway::server {

// GET /router/state: every group with its deployments, their state, remaining cooldown, cause and
// calls in flight.
std::string router_state_json(const Config& config, Fleet& fleet, TimePoint now);

// GET /health: which deployments would be called now (LiteLLM's shape), and why the others would
// not.
std::string health_json(const Config& config, Fleet& fleet, TimePoint now);

// GET /v1/models: groups that have a usable deployment and visible aliases of such; wildcard groups
// by their pattern.
std::string models_json(const Config& config);

// GET /v1/models/{id}: also for names that only a wildcard group or a hidden alias knows. nullopt:
// unknown.
std::optional<std::string> model_json(const Config& config, std::string_view id);

}  // namespace spillway::server
