// Randomness is passed in, so that a seed reproduces a run.
#pragma once

#include <random>

namespace spillway {

using Random = std::mt19937_64;

// Uniform in [0, 1).
inline double uniform(Random& random) {
  return std::uniform_real_distribution<double>(0.0, 1.0)(random);
}

}  // namespace spillway
