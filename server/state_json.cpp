#include "server/state_json.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/bounds.hpp"
#include "server/upstream_head.hpp"

namespace spillway::server {
namespace {

using Json = nlohmann::ordered_json;

// Configured names are the operator's text; bytes that are not UTF-8 must not end the process.
std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// Rounded up, so that a bench that is not over never reads as 0.
std::int64_t remaining_ms(const Availability& available, TimePoint now) {
  const bool benched =
      available.state == HealthState::cooling || available.state == HealthState::breaker_open;
  if (!benched || available.until <= now) return 0;
  return std::chrono::ceil<milliseconds>(available.until - now).count();
}

template <typename Count>
Json or_null(const std::optional<Count>& count) {
  return count ? Json(*count) : Json();
}

Json peak_ms(const Load& load) {
  if (!load.peak) return nullptr;
  return std::chrono::duration_cast<milliseconds>(*load.peak).count();
}

// What the strategies compare, and the limits.
Json deployment_load(const Config& config, DeploymentIndex index, Fleet& fleet, TimePoint now) {
  const Load streamed = fleet.load(index, Delivery::streamed, now);
  const CallLimits limits = limits_of(config, index);
  return {{"requests", streamed.requests},
          {"tokens", streamed.tokens},
          {"rpm_limit", or_null(limits.rpm)},
          {"tpm_limit", or_null(limits.tpm)},
          {"parallel_limit", or_null(limits.parallel)},
          {"limits_shared", streamed.limits_shared},
          {"headroom", streamed.headroom},
          {"error_rate", streamed.error_rate},
          {"first_token_ms", peak_ms(streamed)},
          {"whole_answer_ms", peak_ms(fleet.load(index, Delivery::whole, now))}};
}

Json deployment_state(const Deployment& deployment, const Availability& available,
                      const RecentOutcomes& recent, TimePoint now) {
  const bool closed = available.state == HealthState::closed;
  Json json = {{"id", deployment.id},
               {"provider", deployment.provider},
               {"model", deployment.model},
               {"state", name(available.state)},
               {"callable", available.callable},
               {"cooldown_remaining_ms", remaining_ms(available, now)},
               {"named_by_upstream", !closed && available.named_by_upstream},
               {"cause", nullptr},
               {"probing", available.probing},
               {"in_flight", available.in_flight},
               {"window",
                {{"seconds", std::chrono::floor<seconds>(bounds::kBreakerWindow).count()},
                 {"successes", recent.successes},
                 {"failures", recent.failures},
                 {"consecutive_failures", recent.consecutive_failures}}},
               {"weight", deployment.weight},
               {"order", nullptr}};
  if (!closed) json["cause"] = name(available.cause);
  if (deployment.order) json["order"] = *deployment.order;
  return json;
}

Json left_out(const Deployment& deployment) {
  return {{"id", deployment.id},
          {"provider", deployment.provider},
          {"model", deployment.model},
          {"reason", deployment.unusable}};
}

Json fallback_names(const Config& config, const std::vector<ModelMatch>& fallbacks) {
  Json names = Json::array();
  for (const ModelMatch& match : fallbacks)
    names.push_back(match.deployment ? config.at(*match.deployment).id
                                     : config.at(match.group).name);
  return names;
}

std::string api_base(const Origin& origin) {
  return (origin.tls ? "https://" : "http://") + bracketed(origin.host) + ":" +
         std::to_string(origin.port);
}

Json endpoint(const Config& config, const Deployment& deployment) {
  return {{"model_name", config.at(deployment.group).name},
          {"model", deployment.provider + "/" + deployment.model},
          {"model_id", deployment.id},
          {"api_base", deployment.usable() ? Json(api_base(deployment.origin)) : Json()}};
}

Json model_object(std::string_view id) {
  // LiteLLM's constant date: the gateway does not know when a model was made.
  return {{"id", id}, {"object", "model"}, {"created", 1677610602}, {"owned_by", "openai"}};
}

bool answers(const Config& config, std::string_view requested) {
  const auto match = find_model(config, requested);
  return match && !config.at(match->group).deployments.empty();
}

}  // namespace

std::string router_state_json(const Config& config, Fleet& fleet, TimePoint now) {
  Json groups = Json::array();
  for (const ModelGroup& group : config.groups) {
    Json deployments = Json::array();
    for (const DeploymentIndex index : group.deployments) {
      deployments.push_back(deployment_state(config.at(index), fleet.availability(index, now),
                                             fleet.recent(index, now), now));
      deployments.back()["load"] = deployment_load(config, index, fleet, now);
    }
    Json unusable = Json::array();
    for (const DeploymentIndex index : group.left_out) {
      unusable.push_back(left_out(config.at(index)));
    }
    groups.push_back({{"name", group.name},
                      {"wildcard", group.wildcard},
                      {"fallbacks", fallback_names(config, group.fallbacks)},
                      {"deployments", std::move(deployments)},
                      {"left_out", std::move(unusable)}});
  }
  return dump({{"groups", std::move(groups)}});
}

std::string health_json(const Config& config, Fleet& fleet, TimePoint now) {
  Json healthy = Json::array();
  Json unhealthy = Json::array();
  for (std::uint32_t i = 0; i < config.deployments.size(); ++i) {
    const Deployment& deployment = config.deployments[i];
    Json json = endpoint(config, deployment);
    if (!deployment.usable()) {
      json["state"] = "left_out";
      json["error"] = deployment.unusable;
      unhealthy.push_back(std::move(json));
      continue;
    }
    const Availability available = fleet.availability(DeploymentIndex{i}, now);
    json["state"] = name(available.state);
    if (available.state == HealthState::closed) {
      healthy.push_back(std::move(json));
      continue;
    }
    json["error"] = name(available.cause);
    json["cooldown_remaining_ms"] = remaining_ms(available, now);
    unhealthy.push_back(std::move(json));
  }
  const std::size_t healthy_count = healthy.size();
  const std::size_t unhealthy_count = unhealthy.size();
  return dump({{"healthy_endpoints", std::move(healthy)},
               {"unhealthy_endpoints", std::move(unhealthy)},
               {"healthy_count", healthy_count},
               {"unhealthy_count", unhealthy_count}});
}

std::string models_json(const Config& config) {
  Json data = Json::array();
  for (const ModelGroup& group : config.groups) {
    // An alias of the same name leads elsewhere and is listed below.
    if (!group.deployments.empty() && !config.aliases.contains(group.name)) {
      data.push_back(model_object(group.name));
    }
  }
  for (const auto& [alias, target] : config.aliases) {
    const bool hidden =
        std::ranges::find(config.hidden_aliases, alias) != config.hidden_aliases.end();
    if (!hidden && answers(config, alias)) data.push_back(model_object(alias));
  }
  return dump({{"data", std::move(data)}, {"object", "list"}});
}

std::optional<std::string> model_json(const Config& config, std::string_view id) {
  const bool pattern = std::ranges::any_of(config.groups, [id](const ModelGroup& group) {
    return group.wildcard && group.name == id && !group.deployments.empty();
  });
  if (!pattern && !answers(config, id)) return std::nullopt;
  return dump(model_object(id));
}

}  // namespace spillway::server
