#include "core/selection.hpp"

#include <algorithm>
#include <limits>

#include "core/bounds.hpp"
#include "core/strategy.hpp"

namespace spillway {

namespace {

// Whatever its health.
bool suits(const PickContext& context, DeploymentIndex deployment) {
  const Deployment& candidate = context.config.at(deployment);
  if (candidate.targets[static_cast<std::size_t>(context.endpoint)].empty()) return false;
  return !context.larger_than_input_tokens ||
         (candidate.max_input_tokens &&
          *candidate.max_input_tokens > *context.larger_than_input_tokens);
}

bool is_eligible(const PickContext& context, DeploymentIndex deployment) {
  if (context.eligible == nullptr) return true;
  return context.eligible->admits(deployment) && (context.reserve == PickContext::Reserve::asked ||
                                                  !context.eligible->in_reserve(deployment));
}

}  // namespace

bool is_candidate(const PickContext& context, DeploymentIndex deployment, TimePoint now) {
  return suits(context, deployment) && is_eligible(context, deployment) &&
         std::ranges::count(context.excluded, deployment) == 0 &&
         context.fleet.availability(deployment, now).callable;
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
    if (!is_candidate(context, candidate, now)) continue;
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
        return drawn(anybody).or_else([this] { return shuffled(); });
      case RoutingStrategy::least_busy:
        return lowest([this](auto candidate) { return busyness(load(candidate)); });
      case RoutingStrategy::usage_based:
        return lowest([this](auto candidate) { return usage(load(candidate)); });
      case RoutingStrategy::latency_based:
        return quickest();
      case RoutingStrategy::cost_based:
        return drawn(anybody).or_else([this] { return cheapest(); });
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

  static bool anybody(DeploymentIndex) { return true; }

  // Any candidate of the lottery that is `wanted`, each with its share of them all. nullopt: none
  // was found in a few draws, which does not mean that there is none.
  template <typename Wanted>
  std::optional<DeploymentIndex> drawn(const Wanted& wanted,
                                       std::size_t at_most = bounds::kDraws) const {
    const Lottery* lottery = context_.fleet.lottery(group_);
    if (lottery == nullptr) return std::nullopt;
    const std::size_t most = std::min(lottery->entrants(), at_most);
    for (std::size_t draws = 0; draws < most; ++draws) {
      const DeploymentIndex deployment = lottery->draw(random());
      if (wanted(deployment) && is_candidate(context_, deployment, now_)) return deployment;
    }
    return std::nullopt;
  }

  // Nobody has less than nothing: whoever is drawn and has nothing is among those with the least.
  template <typename Value>
  std::optional<DeploymentIndex> at_the_bottom(const Value& value) const {
    const auto nothing = [&](DeploymentIndex candidate) { return value(candidate) <= 0.0; };
    return drawn(nothing, bounds::kBottomDraws);
  }

  template <typename Value>
  std::optional<DeploymentIndex> lowest(const Value& value) const {
    return at_the_bottom(value).or_else([&] { return least(value).chosen(); });
  }

  std::optional<DeploymentIndex> cheapest() const {
    return least([this](auto candidate) { return price(context_.config.at(candidate)); }).chosen();
  }

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
    if (const auto unknown = at_the_bottom(value)) return unknown;
    const Least quick = least(value);
    const double buffer = context_.config.router.lowest_latency_buffer;
    if (buffer <= 0.0 || quick.value() <= 0.0) return quick.chosen();
    return least(value, quick.value() * (1.0 + buffer)).chosen();
  }

  // The times tell better than weights how much a deployment bears; only a weight of 0 is obeyed,
  // which is how operators drain one.
  struct Couple {
    TwoOfAll all, drained;
  };

  std::optional<DeploymentIndex> adaptive() const {
    if (const auto first = drawn(anybody)) {
      const auto another = [&](DeploymentIndex candidate) { return candidate != *first; };
      if (const auto second = drawn(another)) return better(*first, *second);
    }
    return better_of_all();
  }

  std::optional<DeploymentIndex> better_of_all() const {
    const auto show = [this](Couple& couple, DeploymentIndex candidate) {
      const Deployment& deployment = context_.config.at(candidate);
      const bool drained = deployment.weighted && deployment.weight <= 0.0;
      (drained ? couple.drained : couple.all).show(candidate);
    };
    const Couple nobody{TwoOfAll(random()), TwoOfAll(random())};
    const Couple couple = choose(context_, group_, now_, nobody, show);
    const TwoOfAll& two = couple.all.first() ? couple.all : couple.drained;
    return two.second() ? better(*two.first(), *two.second()) : two.first();
  }

  DeploymentIndex better(DeploymentIndex first, DeploymentIndex second) const {
    return prefer(load(first), load(second), random(), now_) == Preferred::first ? first : second;
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
