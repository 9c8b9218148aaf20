#include "core/deployment_load.hpp"

#include <algorithm>
#include <cmath>

namespace spillway {
namespace {

double as_seconds(Duration time) {
  return std::chrono::duration<double>(time).count();
}

// How much of what was measured `age` ago still counts.
double remembered(Duration age) {
  return std::exp(-std::max(as_seconds(age) / as_seconds(bounds::kLoadMemory), 0.0));
}

// What of `limit` is left when `used` of it are gone.
double share_left(double used, double limit) {
  return limit <= 0.0 ? 0.0 : std::clamp(1.0 - used / limit, 0.0, 1.0);
}

// What an upstream said stands until the reset that it named; without one it is taken to fill up
// steadily, as limits by the minute do.
double left_of(const Quota& quota, Duration age) {
  if (quota.reset && age >= *quota.reset) return 1.0;
  const double refilled = quota.reset ? 0.0 : as_seconds(age) / as_seconds(bounds::kHeadroomMemory);
  return std::clamp(
      static_cast<double>(quota.remaining) / static_cast<double>(quota.limit) + refilled, 0.0, 1.0);
}

}  // namespace

Room DeploymentLoad::room(const CallLimits& limits, unsigned in_flight, TimePoint now,
                          std::optional<std::uint64_t> tokens, Looking looking) {
  Room room;
  room.taken = limits.parallel && in_flight >= *limits.parallel;
  if (!limits.rpm && !limits.tpm) return room;
  if (lease_.rules(now)) {
    const Room leased = lease_.room(limits, tokens, now, looking);
    room.limited_until = leased.limited_until;
    room.taken |= leased.taken;
    return room;
  }
  if (limits.rpm) room.limited_until = window_.requests_below(*limits.rpm, now);
  if (!limits.tpm) return room;
  room.limited_until = std::max(room.limited_until, window_.tokens_below(*limits.tpm, now));
  room.taken |= window_.used(now).tokens + expected_ >= std::max<std::uint64_t>(*limits.tpm, 1);
  return room;
}

void DeploymentLoad::begin(std::uint64_t tokens, const CallLimits& limits, TimePoint now) {
  window_.add({.requests = 1, .tokens = 0}, now);
  expected_ += tokens;
  lease_.begin(tokens, limits);
  // The upstream's own count is older than this call.
  if (quotas_.requests && quotas_.requests->remaining > 0) --quotas_.requests->remaining;
}

void DeploymentLoad::end(std::uint64_t tokens) {
  expected_ -= std::min(expected_, tokens);
  lease_.end(tokens);
}

void DeploymentLoad::note_time(Delivery delivery, Duration time, TimePoint now) {
  Times& times = times_[static_cast<std::size_t>(delivery)];
  times.peak.note(time, now);
  times.last.note(time, now);
}

void DeploymentLoad::note_answer(Delivery delivery, Duration time, TimePoint now) {
  note_time(delivery, time, now);
  errors_.note(0.0, now);
}

void DeploymentLoad::note_tokens(std::uint64_t tokens, const CallLimits& limits, TimePoint now) {
  window_.add({.requests = 0, .tokens = tokens}, now);
  lease_.use(tokens, limits);
}

void DeploymentLoad::note_quotas(const Quotas& quotas, TimePoint now) {
  if (!quotas.requests && !quotas.tokens) return;
  quotas_ = quotas;
  quotas_at_ = now;
}

Load DeploymentLoad::load(Delivery delivery, const CallLimits& limits, Duration time_to_live,
                          TimePoint now) {
  Load load;
  load.peak = times_[static_cast<std::size_t>(delivery)].peak.at(now);
  load.mean = mean(delivery, time_to_live, now);
  load.error_rate = errors_.at(now);
  load.requests = window_.used(now).requests;
  load.tokens = tokens(now);
  load.headroom = headroom(limits, now);
  load.recovered_at = recovered_at_;
  load.limits_shared = (limits.rpm || limits.tpm) && lease_.rules(now);
  return load;
}

double DeploymentLoad::headroom(const CallLimits& limits, TimePoint now) {
  const RateWindow::Usage used = window_.used(now);
  double least = 1.0;
  if (limits.rpm)
    least = share_left(static_cast<double>(used.requests), static_cast<double>(*limits.rpm));
  if (limits.tpm)
    least = std::min(least, share_left(static_cast<double>(used.tokens + expected_),
                                       static_cast<double>(*limits.tpm)));
  for (const auto& quota : {quotas_.requests, quotas_.tokens})
    if (quota) least = std::min(least, left_of(*quota, now - quotas_at_));
  return least;
}

// --- times ---------------------------------------------------------------------------------------

void DeploymentLoad::Peak::note(Duration time, TimePoint now) {
  const auto faded = at(now);
  if (!faded || time >= *faded) {
    value_ = time;
  } else {
    const double kept = remembered(now - noted_at_);
    value_ = std::chrono::duration_cast<Duration>(*value_ * kept + time * (1.0 - kept));
  }
  noted_at_ = now;
}

std::optional<Duration> DeploymentLoad::Peak::at(TimePoint now) const {
  if (!value_) return std::nullopt;
  return std::chrono::duration_cast<Duration>(*value_ * remembered(now - noted_at_));
}

void DeploymentLoad::Errors::note(double failed, TimePoint now) {
  rate_ = (at(now) + failed) / 2.0;
  noted_at_ = now;
}

double DeploymentLoad::Errors::at(TimePoint now) const {
  return rate_ * remembered(now - noted_at_);
}

void DeploymentLoad::LastTimes::note(Duration time, TimePoint now) {
  if (samples_.size() < bounds::kQuantileSamples) {
    samples_.push_back({time, now});
  } else {
    samples_[next_] = {time, now};
    next_ = (next_ + 1) % samples_.size();
  }
}

std::optional<Duration> DeploymentLoad::LastTimes::mean(Duration time_to_live,
                                                        TimePoint now) const {
  Duration sum{};
  int fresh = 0;
  const std::size_t size = samples_.size();
  for (std::size_t age = 1; age <= std::min(size, bounds::kLatencySamples); ++age) {
    const Sample& sample = samples_[(next_ + size - age) % size];
    if (now - sample.at >= time_to_live) break;
    sum += sample.time;
    ++fresh;
  }
  if (fresh == 0) return std::nullopt;
  return sum / fresh;
}

std::optional<Duration> DeploymentLoad::LastTimes::p95() const {
  if (samples_.size() < bounds::kQuantileLeast) return std::nullopt;
  std::array<Duration, bounds::kQuantileSamples> times;
  const auto end = std::ranges::transform(samples_, times.begin(), &Sample::time).out;
  const auto rank = times.begin() + (static_cast<std::ptrdiff_t>(samples_.size()) * 95 - 1) / 100;
  std::nth_element(times.begin(), rank, end);
  return *rank;
}

std::optional<Duration> DeploymentLoad::p95_time(Delivery delivery) const {
  return times_[static_cast<std::size_t>(delivery)].last.p95();
}

}  // namespace spillway
