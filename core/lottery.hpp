// Draws one deployment of a group's first order tier with its share of the traffic, at a cost that
// hardly grows with the group: what every draw would add up is added up once per configuration.
//
// Where a strategy wants the least of something, a draw finds it only at the bottom: the cheapest
// of all, or one that is idle, unused, or not known yet. Then it is the one that a look at all
// would find; else there is no way around the look.
//
// It knows no health. Whoever is drawn and cannot take a request is drawn over, which leaves the
// shares of all others to each other as they are (core/selection.cpp).
#pragma once

#include <cstddef>
#include <vector>

#include "core/config.hpp"
#include "core/inline_vector.hpp"
#include "core/random.hpp"

namespace spillway {

class Lottery {
 public:
  // For the configured strategy: simple-shuffle draws by weight, adaptive among those that no
  // weight of 0 drains, cost-based routing among the cheapest, the others among all.
  Lottery(const Config& config, GroupIndex group);

  // How many may be drawn. 0: none, because it would not tell what a look at all does.
  std::size_t entrants() const { return entrants_.size(); }
  // Of at least one entrant.
  DeploymentIndex draw(Random& random) const;

 private:
  void enter_by_weight(const Config& config, const std::vector<DeploymentIndex>& members);
  void enter(DeploymentIndex deployment, double share);

  InlineVector<DeploymentIndex, 4> entrants_;  // of a share above 0; few of them are in place
  std::vector<double> up_to_;  // the shares of each entrant and all before it together
  bool even_ = true;           // all shares are alike
};

}  // namespace spillway
