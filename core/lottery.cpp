#include "core/lottery.hpp"

#include <algorithm>
#include <iterator>
#include <limits>
#include <span>

#include "core/strategy.hpp"

namespace spillway {

namespace {

std::vector<DeploymentIndex> first_tier(const Config& config, GroupIndex group) {
  const auto tier_of = [&](DeploymentIndex i) {
    return config.at(i).order.value_or(std::numeric_limits<int>::max());
  };
  std::vector<DeploymentIndex> members = config.at(group).deployments;
  if (members.empty()) return members;
  const int first = tier_of(*std::ranges::min_element(members, {}, tier_of));
  std::erase_if(members, [&](DeploymentIndex i) { return tier_of(i) != first; });
  return members;
}

}  // namespace

Lottery::Lottery(const Config& config, GroupIndex group) {
  const std::vector<DeploymentIndex> members = first_tier(config, group);
  if (members.empty()) return;
  up_to_.reserve(members.size());
  if (config.router.strategy == RoutingStrategy::simple_shuffle) {
    enter_by_weight(config, members);
    return;
  }
  const auto price_of = [&](DeploymentIndex i) { return price(config.at(i)); };
  const double cheapest = price_of(*std::ranges::min_element(members, {}, price_of));
  for (const DeploymentIndex member : members) {
    const Deployment& deployment = config.at(member);
    const bool drained = deployment.weighted && deployment.weight <= 0.0;
    const bool passed_over =
        (config.router.strategy == RoutingStrategy::adaptive && drained) ||
        (config.router.strategy == RoutingStrategy::cost_based && price(deployment) > cheapest);
    enter(member, passed_over ? 0.0 : 1.0);
  }
}

void Lottery::enter_by_weight(const Config& config, const std::vector<DeploymentIndex>& members) {
  const auto weighted = [&](DeploymentIndex i) { return config.at(i).weighted; };
  const auto unasked = [&](DeploymentIndex i) { return !weighted(i) && config.at(i).weight > 0.0; };
  const bool by_weight = std::ranges::any_of(members, weighted);
  // Whether such a weight counts depends on who else can be called at the time.
  if (by_weight && std::ranges::any_of(members, unasked)) return;
  for (const DeploymentIndex member : members)
    enter(member, by_weight ? config.at(member).weight : 1.0);
}

void Lottery::enter(DeploymentIndex deployment, double share) {
  if (share <= 0.0) return;
  even_ = even_ && (up_to_.empty() || share == up_to_.front());
  entrants_.push_back(deployment);
  up_to_.push_back(share + (up_to_.empty() ? 0.0 : up_to_.back()));
}

DeploymentIndex Lottery::draw(Random& random) const {
  const std::span<const DeploymentIndex> entrants = entrants_.view();
  if (entrants.size() == 1) return entrants.front();
  const double share = uniform(random);
  // The last one's end can be reached by rounding.
  if (even_) {
    const double place = share * static_cast<double>(entrants.size());
    return entrants[std::min(static_cast<std::size_t>(place), entrants.size() - 1)];
  }
  const double place = share * up_to_.back();
  const auto drawn = std::upper_bound(up_to_.begin(), std::prev(up_to_.end()), place);
  return entrants[static_cast<std::size_t>(drawn - up_to_.begin())];
}

}  // namespace spillway
