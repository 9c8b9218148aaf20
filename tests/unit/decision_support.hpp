// What the tests of the decisions share: small configurations, failures and a virtual clock's
// origin.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "core/config.hpp"
#include "core/failure.hpp"
#include "core/time.hpp"

namespace spillway::testing {

// Far from the epoch, so that a default TimePoint is recognisably the past.
inline const TimePoint kStart{std::chrono::hours(1000)};

inline Failure failed_with(ErrorClass error_class, std::optional<Duration> hint = std::nullopt) {
  Failure failure;
  failure.error_class = error_class;
  failure.status = default_status(error_class);
  failure.concerns_deployment = true;
  failure.message = std::string(name(error_class));
  if (hint) failure.hint = RetryHint{*hint, HintSource::retry_after_seconds};
  return failure;
}

inline GroupIndex add_group(Config& config, std::string name) {
  const GroupIndex index{static_cast<std::uint32_t>(config.groups.size())};
  ModelGroup group;
  group.name = std::move(name);
  config.exact_names.emplace(group.name, index);
  config.groups.push_back(std::move(group));
  return index;
}

// A deployment that offers every endpoint.
inline DeploymentIndex add_deployment(Config& config, GroupIndex group) {
  const DeploymentIndex index{static_cast<std::uint32_t>(config.deployments.size())};
  Deployment deployment;
  deployment.id = "deployment-" + std::to_string(index.value);
  deployment.group = group;
  deployment.model = "upstream-" + std::to_string(index.value);
  deployment.targets.fill("/v1/x");
  config.deployments.push_back(std::move(deployment));
  config.groups[group.value].deployments.push_back(index);
  return index;
}

inline Config group_of(unsigned deployments) {
  Config config;
  const GroupIndex group = add_group(config, "model");
  for (unsigned i = 0; i < deployments; ++i) add_deployment(config, group);
  return config;
}

}  // namespace spillway::testing
