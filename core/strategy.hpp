// The routing strategies: each is shown the candidates of one tier, one at a time and without
// keeping them, and says which of them it would take. Pure: what a deployment is like is told, and
// randomness is a parameter.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "core/config.hpp"
#include "core/deployment_load.hpp"
#include "core/random.hpp"
#include "core/time.hpp"

namespace spillway {

// simple-shuffle: each replaces the one held with its share of all that were shown so far, which
// leaves every candidate held with its share of the whole.
class WeightedShuffle {
 public:
  explicit WeightedShuffle(Random& random) : random_(&random) {}
  void show(DeploymentIndex candidate, const Deployment& deployment);
  std::optional<DeploymentIndex> chosen() const;

 private:
  Random* random_;
  bool any_weighted_ = false;
  double count_ = 0.0;
  double total_weight_ = 0.0;
  std::optional<DeploymentIndex> uniformly_;
  std::optional<DeploymentIndex> by_weight_;
};

// Any of those with the least of something, each with the same chance. Values up to `tolerated` all
// count as least.
class Least {
 public:
  explicit Least(Random& random, std::optional<double> tolerated = std::nullopt)
      : random_(&random), tolerated_(tolerated) {}
  void show(DeploymentIndex candidate, double value);
  std::optional<DeploymentIndex> chosen() const { return chosen_; }
  double value() const { return least_; }

 private:
  Random* random_;
  std::optional<double> tolerated_;
  double least_ = 0.0;
  double equals_ = 0.0;
  std::optional<DeploymentIndex> chosen_;
};

// Two of all, each pair with the same chance. One, if only one was shown.
class TwoOfAll {
 public:
  explicit TwoOfAll(Random& random) : random_(&random) {}
  void show(DeploymentIndex candidate);
  std::optional<DeploymentIndex> first() const { return at(0); }
  std::optional<DeploymentIndex> second() const { return at(1); }

 private:
  std::optional<DeploymentIndex> at(std::size_t i) const {
    return i < shown_ ? std::optional(held_[i]) : std::nullopt;
  }
  Random* random_;
  std::array<DeploymentIndex, 2> held_{};
  std::size_t shown_ = 0;
};

// cost-based-routing: what is compared, the less the better. Unknown: more than any known.
double price(const Deployment& deployment);

// adaptive: calls in flight and this one, times the time to the first token, dearer by failures and
// by a rate limit that is running out. `unmeasured`: the time of a deployment that has none.
double adaptive_cost(const Load& load, Duration unmeasured);

// adaptive: which of two. A deployment without a measured time is taken to be as quick as its
// rival; one that has just recovered is passed over at first nearly always, then ever less often.
enum class Preferred : std::uint8_t { first, second };
Preferred prefer(const Load& first, const Load& second, Random& random, TimePoint now);

// The share of its traffic that a deployment gets after its recovery, in (0, 1].
double slow_start_share(const Load& load, TimePoint now);

}  // namespace spillway
