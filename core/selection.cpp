#include "core/selection.hpp"

#include <algorithm>
#include <limits>

#include "core/strategy.hpp"

namespace spillway {

bool suits(const PickContext& context, DeploymentIndex deployment) {
  const Deployment& candidate = context.config.at(deployment);
  if (candidate.targets[static_cast<std::size_t>(context.endpoint)].empty()) return false;
  return !context.larger_than_input_tokens ||
         (candidate.max_input_tokens &&
          *candidate.max_input_tokens > *context.larger_than_input_tokens);
}

namespace {

constexpr int kNoOrder = std::numeric_limits<int>::max();

// Shows the callable candidates of the lowest tier that has any to a copy of `nobody`, and returns
// it: `show(choice, candidate)`.
template <typename Choice, typename Show>
Choice choose(const PickContext& context, GroupIndex group, TimePoint now, const Choice& nobody,
              const Show& show) {
  int best_tier = kNoOrder;
  Choice best = nobody;
  for (const DeploymentIndex candidate : context.config.at(group).deployments) {
    const int tier = context.config.at(candidate).order.value_or(kNoOrder);
    if (tier > best_tier) continue;
    if (!suits(context, candidate) || std::ranges::count(context.excluded, candidate) > 0) continue;
    if (!context.fleet.availability(candidate, now).callable) continue;
    if (tier < best_tier) best = nobody;
    best_tier = tier;
    show(best, candidate);
  }
  return best;
}

class Picker {
 public:
  Picker(const PickContext& context, GroupIndex group, TimePoint now)
      : context_(context), group_(group), now_(now) {}

  std::optional<DeploymentIndex> pick() const {
    switch (context_.config.router.strategy) {
      case RoutingStrategy::simple_shuffle:
        return shuffled();
      case RoutingStrategy::least_busy:
        return least([this](auto candidate) { return busyness(load(candidate)); }).chosen();
      case RoutingStrategy::usage_based:
        return least([this](auto candidate) { return usage(load(candidate)); }).chosen();
      case RoutingStrategy::latency_based:
        return quickest();
      case RoutingStrategy::cost_based:
        return least([this](auto candidate) { return price(context_.config.at(candidate)); })
            .chosen();
      case RoutingStrategy::adaptive:
        return adaptive();
    }
    return std::nullopt;
  }

 private:
  Load load(DeploymentIndex candidate) const {
    return context_.fleet.load(candidate, context_.delivery, now_);
  }
  Random& random() const { return context_.fleet.random(); }

  std::optional<DeploymentIndex> shuffled() const {
    const auto show = [this](WeightedShuffle& shuffle, DeploymentIndex candidate) {
      shuffle.show(candidate, context_.config.at(candidate));
    };
    return choose(context_, group_, now_, WeightedShuffle(random()), show).chosen();
  }

  template <typename Value>
  Least least(const Value& value, std::optional<double> tolerated = std::nullopt) const {
    const auto show = [&](Least& so_far, DeploymentIndex candidate) {
      so_far.show(candidate, value(candidate));
    };
    return choose(context_, group_, now_, Least(random(), tolerated), show);
  }

  std::optional<DeploymentIndex> quickest() const {
    const auto value = [this](DeploymentIndex candidate) { return slowness(load(candidate)); };
    const Least lowest = least(value);
    const double buffer = context_.config.router.lowest_latency_buffer;
    if (buffer <= 0.0 || lowest.value() <= 0.0) return lowest.chosen();
    return least(value, lowest.value() * (1.0 + buffer)).chosen();
  }

  // The times tell better than weights how much a deployment bears; only a weight of 0 is obeyed,
  // which is how operators drain one.
  struct Couple {
    TwoOfAll all, drained;
  };

  std::optional<DeploymentIndex> adaptive() const {
    const auto show = [this](Couple& couple, DeploymentIndex candidate) {
      const Deployment& deployment = context_.config.at(candidate);
      const bool drained = deployment.weighted && deployment.weight <= 0.0;
      (drained ? couple.drained : couple.all).show(candidate);
    };
    const Couple nobody{TwoOfAll(random()), TwoOfAll(random())};
    const Couple couple = choose(context_, group_, now_, nobody, show);
    const TwoOfAll& two = couple.all.first() ? couple.all : couple.drained;
    if (!two.second()) return two.first();
    const Load first = load(*two.first());
    const Load second = load(*two.second());
    return prefer(first, second, random(), now_) == Preferred::first ? two.first() : two.second();
  }

  const PickContext& context_;
  GroupIndex group_;
  TimePoint now_;
};

}  // namespace

std::optional<DeploymentIndex> pick_deployment(const PickContext& context, GroupIndex group,
                                               TimePoint now) {
  return Picker(context, group, now).pick();
}

}  // namespace spillway
