#include "core/call_limits.hpp"

#include <algorithm>

#include "core/bounds.hpp"

namespace spillway {

CallLimits limits_of(const Config& config, DeploymentIndex index) {
  const Deployment& deployment = config.at(index);
  CallLimits limits{.rpm = {}, .tpm = {}, .parallel = deployment.max_parallel_requests};
  if (config.router.rates_are_limits()) {
    limits.rpm = deployment.rpm;
    limits.tpm = deployment.tpm;
  }
  return limits;
}

std::uint64_t expected_tokens(std::size_t body_bytes) {
  return std::min(body_bytes / bounds::kTokenBytes, bounds::kReservedTokens);
}

}  // namespace spillway
