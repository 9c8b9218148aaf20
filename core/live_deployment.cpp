#include "core/live_deployment.hpp"

namespace spillway {

Availability LiveDeployment::availability(const CallLimits& limits, TimePoint now,
                                          Looking looking) {
  Availability availability = health_.availability(now);
  const Room room = load_.room(limits, availability.in_flight, now, std::nullopt, looking);
  availability.full = room.taken;
  availability.limited_until = room.limited_until;
  availability.callable = availability.callable && room.left(now);
  return availability;
}

Load LiveDeployment::load(Delivery delivery, const CallLimits& limits, Duration time_to_live,
                          TimePoint now) {
  Load load = load_.load(delivery, limits, time_to_live, now);
  load.in_flight = health_.availability(now).in_flight;
  return load;
}

double LiveDeployment::figure(Figure figure, Delivery delivery, Duration time_to_live,
                              TimePoint now) {
  switch (figure) {
    case Figure::in_flight:
      return health_.availability(now).in_flight;
    case Figure::tokens:
      return static_cast<double>(load_.tokens(now));
    case Figure::mean: {
      const auto mean = load_.mean(delivery, time_to_live, now);
      return mean ? std::chrono::duration<double>(*mean).count() : 0.0;
    }
  }
  return 0.0;
}

std::optional<Permit> LiveDeployment::begin(DeploymentIndex deployment, const CallLimits& limits,
                                            std::uint64_t tokens, TimePoint now,
                                            DeploymentHealth::Force force) {
  const unsigned in_flight = health_.availability(now).in_flight;
  if (!load_.room(limits, in_flight, now, tokens).left(now)) return std::nullopt;
  auto permit = health_.begin(deployment, now, force);
  if (!permit) return std::nullopt;
  permit->tokens = tokens;
  load_.begin(tokens, limits, now);
  return permit;
}

HealthChange LiveDeployment::succeeded(const Permit& permit, TimePoint now) {
  const HealthChange change = health_.record_success(permit, now);
  if (change == HealthChange::closed) load_.note_recovery(now);
  return change;
}

HealthChange LiveDeployment::failed(const Permit& permit, const Failure& failure,
                                    const CooldownRules& rules, Benching benching, Random& random,
                                    TimePoint now) {
  if (counts_against_deployment(failure)) load_.note_failure(now);
  const HealthChange change = health_.record_failure(permit, failure, rules, benching, random, now);
  if (change == HealthChange::closed) load_.note_recovery(now);
  return change;
}

bool LiveDeployment::close(BenchId id, TimePoint now) {
  if (!health_.close(id)) return false;
  load_.note_recovery(now);
  return true;
}

void LiveDeployment::end(const Permit& permit) {
  health_.end();
  load_.end(permit.tokens);
}

void LiveDeployment::first_token(const Permit& permit, Delivery delivery, TimePoint now) {
  load_.note_answer(delivery, now - permit.begun, now);
}

void LiveDeployment::silent_so_far(const Permit& permit, Delivery delivery, TimePoint now) {
  load_.note_time(delivery, now - permit.begun, now);
}

}  // namespace spillway
