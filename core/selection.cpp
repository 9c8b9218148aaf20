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

// Whether it may take the request, now or later.
bool may_take(const PickContext& context, DeploymentIndex deployment) {
  return suits(context, deployment) && is_eligible(context, deployment) &&
         std::ranges::count(context.excluded, deployment) == 0;
}

}  // namespace

bool is_candidate(const PickContext& context, DeploymentIndex deployment, TimePoint now) {
  return may_take(context, deployment) && context.fleet.availability(deployment, now).callable;
}

namespace {

constexpr int kNoOrder = std::numeric_limits<int>::max();

// Shows the candidates of the lowest tier that has any to a copy of `nobody`, and returns it:
// `show(choice, candidate, *look(candidate))`, where `look` finds nothing at whoever is no
// candidate.
template <typename Choice, typename Look, typename Show>
Choice choose(const PickContext& context, GroupIndex group, const Choice& nobody, const Look& look,
              const Show& show) {
  int best_tier = kNoOrder;
  Choice best = nobody;
  for (const DeploymentIndex candidate : context.config.at(group).deployments) {
    const int tier = context.config.at(candidate).order.value_or(kNoOrder);
    if (tier > best_tier) continue;
    const auto seen = look(candidate);
    if (!seen) continue;
    if (tier < best_tier) best = nobody;
    best_tier = tier;
    show(best, candidate, *seen);
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
        return lowest(Figure::in_flight);
      case RoutingStrategy::usage_based:
        return lowest(Figure::tokens);
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
  Load load(DeploymentIndex deployment) const {
    return context_.fleet.load(deployment, context_.delivery, now_);
  }
  const Deployment* candidate(DeploymentIndex deployment) const {
    return is_candidate(context_, deployment, now_) ? &context_.config.at(deployment) : nullptr;
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
  std::optional<DeploymentIndex> at_the_bottom(Figure figure) const {
    const auto nothing = [&](DeploymentIndex candidate) {
      return context_.fleet.figure(candidate, figure, context_.delivery, now_) <= 0.0;
    };
    return drawn(nothing, bounds::kBottomDraws);
  }

  std::optional<DeploymentIndex> lowest(Figure figure) const {
    return at_the_bottom(figure).or_else([&] { return least(figure).chosen(); });
  }

  Least least(Figure figure, std::optional<double> tolerated = std::nullopt) const {
    const auto look = [&](DeploymentIndex deployment) {
      return may_take(context_, deployment)
                 ? context_.fleet.figure_if_callable(deployment, figure, context_.delivery, now_)
                 : std::nullopt;
    };
    const auto show = [](Least& so_far, auto candidate, double value) {
      so_far.show(candidate, value);
    };
    return choose(context_, group_, Least(random(), tolerated), look, show);
  }

  std::optional<DeploymentIndex> quickest() const {
    if (const auto unknown = at_the_bottom(Figure::mean)) return unknown;
    const Least quick = least(Figure::mean);
    const double buffer = context_.config.router.lowest_latency_buffer;
    if (buffer <= 0.0 || quick.value() <= 0.0) return quick.chosen();
    return least(Figure::mean, quick.value() * (1.0 + buffer)).chosen();
  }

  // Shows each candidate with its configuration.
  template <typename Choice, typename Show>
  Choice chosen_from_all(const Choice& nobody, const Show& show) const {
    return choose(
        context_, group_, nobody, [this](auto d) { return candidate(d); }, show);
  }

  std::optional<DeploymentIndex> cheapest() const {
    const auto show = [](Least& so_far, auto candidate, const Deployment& deployment) {
      so_far.show(candidate, price(deployment));
    };
    return chosen_from_all(Least(random()), show).chosen();
  }

  std::optional<DeploymentIndex> shuffled() const {
    const auto show = [](WeightedShuffle& shuffle, auto candidate, const Deployment& deployment) {
      shuffle.show(candidate, deployment);
    };
    return chosen_from_all(WeightedShuffle(random()), show).chosen();
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
    const auto show = [](Couple& couple, auto candidate, const Deployment& deployment) {
      const bool drained = deployment.weighted && deployment.weight <= 0.0;
      (drained ? couple.drained : couple.all).show(candidate);
    };
    const Couple nobody{TwoOfAll(random()), TwoOfAll(random())};
    const Couple couple = chosen_from_all(nobody, show);
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
