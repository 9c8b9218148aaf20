// The part of DeploymentHealth that other instances have a say in.
#include <algorithm>

#include "core/health.hpp"

namespace spillway {

BenchView DeploymentHealth::bench_view(TimePoint now) const {
  BenchView view;
  view.closed = closed_id_;
  if (!benched()) return view;
  view.bench = {.id = bench_id_,
                .state = state_,
                .remaining = agreed_until_ - now,
                .named_by_upstream = named_by_upstream_,
                .cause = cause_,
                .failed_probes = failed_probes_};
  view.probing = probe_out_ && probe_generation_ == generation_;
  return view;
}

bool DeploymentHealth::adopt(const Bench& bench, Random& random, TimePoint now) {
  if (bench.id == bench_id_ || bench.id == closed_id_) return false;
  if (bench.remaining <= Duration::zero() && benched()) return false;
  const TimePoint agreed = now + bench.remaining;
  if (benched() && agreed < agreed_until_) return false;
  const auto share = std::chrono::duration_cast<Duration>(
      std::max(bench.remaining, Duration::zero()) * bounds::kCooldownJitter);
  const auto jitter = std::chrono::duration_cast<Duration>(
      std::max(share, bounds::kAdoptedJitterLeast) * uniform(random));
  const TimePoint until = std::max(agreed, now) + jitter;
  until_ = benched() ? std::max(until_, until) : until;
  agreed_until_ = agreed;
  state_ = bench.state;
  named_by_upstream_ = bench.named_by_upstream;
  cause_ = bench.cause;
  failed_probes_ = bench.failed_probes;
  bench_id_ = bench.id;
  probed_elsewhere_until_ = {};
  last_failure_ = now;
  ++generation_;
  return true;
}

bool DeploymentHealth::close(BenchId id) {
  if (!benched() || bench_id_ != id) return false;
  close();
  return true;
}

void DeploymentHealth::probed_elsewhere(BenchId id, TimePoint until) {
  if (benched() && bench_id_ == id) probed_elsewhere_until_ = until;
}

}  // namespace spillway
