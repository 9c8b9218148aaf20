#include "core/selection.hpp"

#include <algorithm>
#include <limits>

namespace spillway {

bool suits(const PickContext& context, DeploymentIndex deployment) {
  const Deployment& candidate = context.config.at(deployment);
  if (candidate.targets[static_cast<std::size_t>(context.endpoint)].empty()) return false;
  return !context.larger_than_input_tokens ||
         (candidate.max_input_tokens &&
          *candidate.max_input_tokens > *context.larger_than_input_tokens);
}

namespace {

// Draws one of the candidates it is shown, one at a time and without keeping them: each replaces
// the one held with its share of all that were shown so far, which leaves every candidate held with
// its share of the whole.
class Draw {
 public:
  explicit Draw(Random& random) : random_(random) {}

  void show(DeploymentIndex candidate, const Deployment& deployment) {
    const double share = uniform(random_);
    any_weighted_ |= deployment.weighted;
    count_ += 1.0;
    if (share * count_ < 1.0) uniformly_ = candidate;
    total_weight_ += deployment.weight;
    if (share * total_weight_ < deployment.weight) by_weight_ = candidate;
  }

  // Both draws use the same random numbers, but only one of them is ever looked at. If all weights
  // are 0, nothing else is left, and all are equal.
  std::optional<DeploymentIndex> drawn() const {
    return any_weighted_ && by_weight_ ? by_weight_ : uniformly_;
  }

 private:
  Random& random_;
  bool any_weighted_ = false;
  double count_ = 0.0;
  double total_weight_ = 0.0;
  std::optional<DeploymentIndex> uniformly_;
  std::optional<DeploymentIndex> by_weight_;
};

constexpr int kNoOrder = std::numeric_limits<int>::max();

}  // namespace

std::optional<DeploymentIndex> pick_deployment(const PickContext& context, GroupIndex group,
                                               TimePoint now) {
  int best_tier = kNoOrder;
  std::optional<Draw> best;
  for (const DeploymentIndex candidate : context.config.at(group).deployments) {
    const Deployment& deployment = context.config.at(candidate);
    const int tier = deployment.order.value_or(kNoOrder);
    if (best && tier > best_tier) continue;
    if (!suits(context, candidate) || std::ranges::count(context.excluded, candidate) > 0) continue;
    if (!context.fleet.availability(candidate, now).callable) continue;
    if (!best || tier < best_tier) {
      best.emplace(context.fleet.random());
      best_tier = tier;
    }
    best->show(candidate, deployment);
  }
  return best ? best->drawn() : std::nullopt;
}

}  // namespace spillway
