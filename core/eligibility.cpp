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
      members_(model.deployment ? only(config, *model.deployment)
                                : std::span(config.at(model.group).deployments)) {
  // Whoever asks for a deployment by its id has chosen already.
  by_tags_ = !model.deployment && config.router.tag_filtering && tags_decide();
  if (by_tags_) close_if_empty(Closed::by_tags);
  by_window_ = config.router.pre_call_checks && traits.least_input_tokens > 0;
  if (by_window_) close_if_empty(Closed::by_window);
}

std::optional<Eligibility::Closed> Eligibility::closed() const {
  return offered() ? closed_ : Closed::by_endpoint;
}

bool Eligibility::offers(DeploymentIndex deployment) const {
  return !config_->at(deployment).targets[static_cast<std::size_t>(traits_->endpoint)].empty();
}

bool Eligibility::offered() const {
  return std::ranges::any_of(members_, [this](DeploymentIndex i) { return offers(i); });
}

bool Eligibility::tags_decide() const {
  return !traits_->options.tags.empty() || std::ranges::any_of(members_, [this](DeploymentIndex i) {
    return has_tag(config_->at(i), kDefaultTag);
  });
}

Eligibility::Standing Eligibility::standing(const Deployment& deployment) const {
  if (!by_tags_) return Standing::asked;
  const std::vector<std::string>& tags = traits_->options.tags;
  if (!tags.empty() && matches(deployment, tags, *config_->router.tag_filtering))
    return Standing::asked;
  if (!has_tag(deployment, kDefaultTag)) return Standing::barred;
  return tags.empty() ? Standing::asked : Standing::reserve;
}

bool Eligibility::too_small(const Deployment& deployment) const {
  const auto& window = deployment.max_input_tokens;
  return by_window_ && window && *window < traits_->least_input_tokens;
}

bool Eligibility::admits(DeploymentIndex index) const {
  const Deployment& deployment = config_->at(index);
  return offers(index) && standing(deployment) != Standing::barred && !too_small(deployment) &&
         !std::ranges::binary_search(found_too_small_, index);
}

bool Eligibility::in_reserve(DeploymentIndex deployment) const {
  return standing(config_->at(deployment)) == Standing::reserve;
}

void Eligibility::close_if_empty(Closed reason) {
  if (closed_ || !offered()) return;
  const auto admitted = [this](DeploymentIndex i) { return admits(i); };
  if (std::ranges::none_of(members_, admitted)) closed_ = reason;
}

void Eligibility::bar_model(const Deployment& refused, const std::string& upstream_model,
                            const std::vector<std::string>& captures) {
  for (const DeploymentIndex member : members_) {
    const Deployment& deployment = config_->at(member);
    const bool larger = refused.max_input_tokens &&
                        deployment.max_input_tokens.value_or(0) > *refused.max_input_tokens;
    const bool same = !larger && deployment.provider == refused.provider &&
                      deployment.origin == refused.origin &&
                      substitute(deployment.model, captures) == upstream_model;
    if (same) found_too_small_.push_back(member);
  }
  std::ranges::sort(found_too_small_);
  close_if_empty(Closed::by_window);
}

}  // namespace spillway
