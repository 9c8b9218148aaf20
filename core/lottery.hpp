// Draws one deployment of a group's first order tier with its share of the traffic, at a cost that
// hardly grows with the group: what every draw would add up is added up once per configuration.
//
// It knows no health. Whoever is drawn and cannot take a request is drawn over, which leaves the
// shares of all others to each other as they are (core/selection.cpp).
#pragma once

#include <optional>
#include <vector>

#include "core/config.hpp"
#include "core/random.hpp"

namespace spillway {

class Lottery {
 public:
  // For the configured strategy: by weight for simple-shuffle, evenly among those that no weight of
  // 0 drains for all others.
  Lottery(const Config& config, GroupIndex group);

  // nullopt: a draw would not tell, or not be quicker than a look at all; so it is always.
  std::optional<DeploymentIndex> draw(Random& random) const;

 private:
  void enter(DeploymentIndex deployment, double share);

  std::vector<DeploymentIndex> entrants_;  // of a share above 0
  std::vector<double> up_to_;              // the shares of each entrant and all before it together
};

}  // namespace spillway
