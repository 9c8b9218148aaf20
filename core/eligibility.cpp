#include "core/eligibility.hpp"

#include <algorithm>

namespace spillway {

namespace {

constexpr std::string_view kDefaultTag = "default";

bool has_tag(const Deployment& deployment, std::string_view tag) {
  return std::ranges::find(deployment.tags, tag) != deployment.tags.end();
}

bool matches(const Deployment& deployment, const std::vector<std::string>& tags, TagMatch match) {
  const auto has = [&](const std::string& tag) { return has_tag(deployment, tag); };
  return match == TagMatch::any ? std::ranges::any_of(tags, has) : std::ranges::all_of(tags, has);
}

// The only member of a call by id; in the configuration, so that a span of it stays valid.
std::span<const DeploymentIndex> only(const Config& config, DeploymentIndex deployment) {
  const std::vector<DeploymentIndex>& group = config.at(config.at(deployment).group).deployments;
  const auto found = std::ranges::find(group, deployment);
  if (found == group.end()) return {};  // it cannot be used
  return {found, 1};
}

}  // namespace

Eligibility::Eligibility(const Config& config, const ModelMatch& model, const RequestTraits& traits)
    : config_(&config),
      traits_(&traits),
      captures_(model.captures),
      members_(model.deployment ? only(config, *model.deployment)
                                : std::span(config.at(model.group).deployments)) {
  if (std::ranges::none_of(members_, [this](DeploymentIndex i) { return offers(i); })) {
    closed_ = Closed::by_endpoint;
    return;
  }
  // Whoever asks for a deployment by its id has chosen already.
  if (!model.deployment && config.router.tag_filtering) sort_by_tags();
  if (config.router.pre_call_checks && traits.least_input_tokens > 0) bar_small_windows();
}

bool Eligibility::offers(DeploymentIndex deployment) const {
  return !config_->at(deployment).targets[static_cast<std::size_t>(traits_->endpoint)].empty();
}

bool Eligibility::barred(DeploymentIndex deployment) const {
  return std::ranges::find(barred_, deployment) != barred_.end();
}

bool Eligibility::admits(DeploymentIndex deployment) const {
  return offers(deployment) && !barred(deployment);
}

void Eligibility::close_if_empty(Closed reason) {
  if (closed_) return;
  const auto admitted = [this](DeploymentIndex i) { return admits(i); };
  if (std::ranges::none_of(members_, admitted)) closed_ = reason;
}

void Eligibility::sort_by_tags() {
  const std::vector<std::string>& tags = traits_->options.tags;
  const bool any_default = std::ranges::any_of(
      members_, [this](DeploymentIndex i) { return has_tag(config_->at(i), kDefaultTag); });
  if (tags.empty() && !any_default) return;
  for (const DeploymentIndex member : members_) {
    const Deployment& deployment = config_->at(member);
    if (!tags.empty() && matches(deployment, tags, *config_->router.tag_filtering)) continue;
    if (!has_tag(deployment, kDefaultTag)) {
      barred_.push_back(member);
    } else if (!tags.empty()) {
      reserve_.push_back(member);
    }
  }
  close_if_empty(Closed::by_tags);
}

void Eligibility::bar_small_windows() {
  for (const DeploymentIndex member : members_) {
    const auto& window = config_->at(member).max_input_tokens;
    if (window && *window < traits_->least_input_tokens && !barred(member))
      barred_.push_back(member);
  }
  close_if_empty(Closed::by_window);
}

void Eligibility::bar_model(const Deployment& refused, const std::string& upstream_model) {
  for (const DeploymentIndex member : members_) {
    const Deployment& deployment = config_->at(member);
    const bool larger = refused.max_input_tokens &&
                        deployment.max_input_tokens.value_or(0) > *refused.max_input_tokens;
    if (larger || barred(member)) continue;
    const bool same = deployment.provider == refused.provider &&
                      deployment.origin == refused.origin &&
                      substitute(deployment.model, captures_) == upstream_model;
    if (same) barred_.push_back(member);
  }
  close_if_empty(Closed::by_window);
}

}  // namespace spillway
