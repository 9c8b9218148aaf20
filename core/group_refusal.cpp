#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/group_visit.hpp"

// The gateway's own words for a request that no deployment of a group was asked.
namespace spillway {

namespace {

Failure gateway_failure(ErrorClass error_class, std::string message) {
  Failure failure;
  failure.error_class = error_class;
  failure.status = default_status(error_class);
  failure.type = openai_type(error_class);
  failure.detail = message;
  failure.message = std::move(message);
  return failure;
}

Failure too_long(const std::string& model) {
  Failure failure = gateway_failure(
      ErrorClass::context_window_exceeded,
      fmt::format("The request is longer than every context window of model '{}'.", model));
  failure.code = "context_length_exceeded";
  failure.param = "messages";
  return failure;
}

// LiteLLM's status for it; not one a retry would change.
Failure not_for_these_tags(const std::string& model) {
  Failure failure = gateway_failure(
      ErrorClass::authentication,
      fmt::format("Not allowed to access model '{}' due to tags configuration: no deployment of it "
                  "takes requests with these tags.",
                  model));
  failure.param = "tags";
  return failure;
}

}  // namespace

// What the configuration says about the request, before anybody's health is looked at.
std::optional<Failure> GroupVisit::standing_refusal() const {
  const ModelGroup& group = configured();
  const std::string model = substitute(group.name, model_.captures);
  if (eligible_.members().empty()) {
    std::string reason = "it has none";
    if (!group.left_out.empty()) reason = config_->at(group.left_out.front()).unusable;
    if (by_id()) reason = config_->at(*model_.deployment).unusable;
    return gateway_failure(
        ErrorClass::unavailable,
        fmt::format("No deployment of model '{}' can be used: {}.", model, reason));
  }
  const auto closed = eligible_.closed();
  if (!closed) return std::nullopt;
  switch (*closed) {
    case Eligibility::Closed::by_endpoint: {
      Failure failure = gateway_failure(
          ErrorClass::not_found,
          fmt::format("Model '{}' does not offer /v1{}.", model, traits(traits_->endpoint).path));
      failure.param = "model";
      return failure;
    }
    case Eligibility::Closed::by_tags:
      return not_for_these_tags(model);
    case Eligibility::Closed::by_window:
      return too_long(model);
  }
  return std::nullopt;
}

Failure GroupVisit::refusal(std::optional<Duration> recovery, TimePoint now) {
  if (auto standing = standing_refusal()) return *std::move(standing);
  bool rate_limited = false;
  bool at_limit = false;  // one of our own: nobody is cooling because of it
  for (const DeploymentIndex deployment : eligible_.members()) {
    if (!eligible_.admits(deployment)) continue;
    const Availability availability = fleet_->availability(deployment, now);
    at_limit |= availability.full || availability.limited_until > now;
    rate_limited |= availability.state != HealthState::closed &&
                    (availability.cause == ErrorClass::rate_limit ||
                     availability.cause == ErrorClass::quota_exhausted);
  }
  std::string message = fmt::format("All deployments of model '{}' are {}",
                                    substitute(configured().name, model_.captures),
                                    at_limit ? "at their limit or cooling down" : "cooling down");
  if (recovery) {
    const auto whole = std::chrono::ceil<seconds>(*recovery).count();
    message += fmt::format("; retry in {} seconds", whole);
  }
  return gateway_failure(
      rate_limited || at_limit ? ErrorClass::rate_limit : ErrorClass::unavailable, message + ".");
}

}  // namespace spillway
