#include "core/health.hpp"

#include <algorithm>

namespace spillway {

std::string_view name(HealthState state) {
  switch (state) {
    case HealthState::closed:
      return "closed";
    case HealthState::cooling:
      return "cooling";
    case HealthState::breaker_open:
      return "breaker_open";
    case HealthState::half_open:
      return "half_open";
  }
  return "unknown";
}

bool judged_by_breaker(ErrorClass error_class) {
  switch (error_class) {
    case ErrorClass::timeout:
    case ErrorClass::internal:
    case ErrorClass::bad_gateway:
    case ErrorClass::unavailable:
    case ErrorClass::connection:
    case ErrorClass::protocol:
      return true;
    case ErrorClass::invalid_request:
    case ErrorClass::context_window_exceeded:
    case ErrorClass::content_policy_violation:
    case ErrorClass::authentication:
    case ErrorClass::permission_denied:
    case ErrorClass::not_found:
    case ErrorClass::conflict:
    case ErrorClass::unprocessable:
    case ErrorClass::rate_limit:
    case ErrorClass::quota_exhausted:
    case ErrorClass::client_closed:
      return false;
  }
  return false;
}

bool counts_against_deployment(const Failure& failure) {
  switch (failure.error_class) {
    case ErrorClass::authentication:
      return true;
    case ErrorClass::permission_denied:
    case ErrorClass::not_found:
      return failure.concerns_deployment;
    default:
      return judged_by_breaker(failure.error_class) && !failure.client_deadline && !failure.excused;
  }
}

namespace {

// What a class does to a deployment by itself, before the operator's rules are laid over.
enum class Effect : std::uint8_t {
  alive,         // the upstream answered; the request was at fault
  says_nothing,  // the client went, or asked for too short a deadline
  cools,
  breaks,
};

Effect effect_of(const Failure& failure) {
  if (failure.excused || failure.client_deadline) return Effect::says_nothing;
  switch (failure.error_class) {
    case ErrorClass::client_closed:
      return Effect::says_nothing;
    case ErrorClass::rate_limit:
    case ErrorClass::quota_exhausted:
    case ErrorClass::authentication:
      return Effect::cools;
    case ErrorClass::permission_denied:
    case ErrorClass::not_found:
      return failure.concerns_deployment ? Effect::cools : Effect::alive;
    case ErrorClass::timeout:
      return Effect::breaks;
    default:
      return judged_by_breaker(failure.error_class) ? Effect::breaks : Effect::alive;
  }
}

// `base`, doubled `times` times, at most `cap`.
Duration doubled(Duration base, unsigned times, Duration cap) {
  Duration length = base;
  for (unsigned i = 0; i < times && length < cap; ++i) length *= 2;
  return std::min(length, cap);
}

// How long a class cools without a hint. The operator's own time is neither doubled nor told
// classes apart, as in LiteLLM; of ours only a rate limit doubles, because the others do not heal
// by being left alone a little longer.
Duration default_cooldown(ErrorClass error_class, const CooldownRules& rules,
                          unsigned failed_probes) {
  if (rules.cooldown_time) return *rules.cooldown_time;
  switch (error_class) {
    case ErrorClass::quota_exhausted:
      return bounds::kQuotaCooldown;
    case ErrorClass::authentication:
    case ErrorClass::permission_denied:
    case ErrorClass::not_found:
      return bounds::kCredentialCooldown;
    default:
      return doubled(bounds::kCooldownDefault, failed_probes, bounds::kCooldownCap);
  }
}

// The failures the operator tolerates for the class, where set: its own policy entry, else
// allowed_fails for whatever says something about the deployment. A policy entry counts even what
// would otherwise be the client's fault, because it names the class.
std::optional<unsigned> allowance(const Failure& failure, const CooldownRules& rules,
                                  Effect effect) {
  const auto& policy = rules.allowed_fails_policy[static_cast<std::size_t>(failure.error_class)];
  if (effect == Effect::says_nothing) return std::nullopt;
  if (policy) return policy;
  return effect == Effect::alive ? std::nullopt : rules.allowed_fails;
}

}  // namespace

bool never_benches(const CooldownRules& rules) {
  return rules.disabled || rules.cooldown_time == Duration::zero();
}

Benching benching(const ModelGroup& group) {
  const bool alone = group.deployments.size() == 1 && group.fallbacks.empty() &&
                     group.content_policy_fallbacks.empty() &&
                     (!group.context_window_fallbacks || group.context_window_fallbacks->empty());
  return alone ? Benching::withheld : Benching::allowed;
}

Availability DeploymentHealth::availability(TimePoint now) const {
  Availability result;
  result.last_failure = last_failure_;
  result.in_flight = in_flight_;
  if (!benched()) return result;
  const bool over = now >= until_;
  result.state = over ? HealthState::half_open : state_;
  result.probing = probe_out_ || (over && now < probed_elsewhere_until_);
  result.callable = over && !result.probing;
  result.until = until_;
  result.named_by_upstream = named_by_upstream_;
  result.cause = cause_;
  return result;
}

RecentOutcomes DeploymentHealth::recent(TimePoint now) const {
  return {successes_.total(now), failures_.total(now), consecutive_failures_};
}

std::optional<Permit> DeploymentHealth::begin(DeploymentIndex deployment, TimePoint now,
                                              Force force) {
  const bool callable = availability(now).callable;
  if (!callable && force == Force::no) return std::nullopt;
  Permit permit{.deployment = deployment, .generation = generation_, .probe = false, .begun = now};
  if (callable && benched()) {
    permit.probe = true;
    probe_out_ = true;
    probe_generation_ = generation_;
  }
  ++in_flight_;
  return permit;
}

// A permit is used once more when a stream fails after its first content was a success; by then the
// probe slot may be another's.
bool DeploymentHealth::holds_probe(const Permit& permit) const {
  return permit.probe && probe_out_ && permit.generation == probe_generation_;
}

void DeploymentHealth::give_back(const Permit& permit) {
  if (holds_probe(permit)) probe_out_ = false;
}

void DeploymentHealth::end() {
  if (in_flight_ > 0) --in_flight_;
}

HealthChange DeploymentHealth::close() {
  if (!benched()) return HealthChange::none;
  state_ = HealthState::closed;
  closed_id_ = bench_id_;
  bench_id_ = {};
  probed_elsewhere_until_ = {};
  failed_probes_ = 0;
  consecutive_failures_ = 0;
  successes_.clear();
  failures_.clear();
  tolerated_.clear();
  return HealthChange::closed;
}

HealthChange DeploymentHealth::record_success(const Permit& permit, TimePoint now) {
  const bool probe = holds_probe(permit);
  give_back(permit);
  if (permit.generation != generation_) return HealthChange::none;
  // Begun during the bench without being its probe: the last resort of a group with nothing but
  // open breakers. Its success shows that the blip is over; what an upstream said about its own
  // limits stands.
  if (probe || state_ == HealthState::breaker_open) return close();
  if (benched()) return HealthChange::none;
  consecutive_failures_ = 0;
  successes_.add(now);
  return HealthChange::none;
}

HealthChange DeploymentHealth::record_failure(const Permit& permit, const Failure& failure,
                                              const CooldownRules& rules, Benching benching,
                                              Random& random, TimePoint now) {
  const bool stale = permit.generation != generation_;
  const bool probe = holds_probe(permit) && !stale;
  const Effect effect = effect_of(failure);
  give_back(permit);
  if (effect == Effect::says_nothing) return HealthChange::none;
  if (effect != Effect::alive) last_failure_ = now;

  const Standing standing = probe                ? Standing::probe
                            : stale || benched() ? Standing::late
                                                 : Standing::current;
  if (standing == Standing::current && counts_against_deployment(failure)) {
    ++consecutive_failures_;
    failures_.add(now);
  }
  const bool may_bench = benching == Benching::allowed && !never_benches(rules);
  // A probe that ends in the client's own mistake was answered: the deployment is alive.
  if (probe && (effect == Effect::alive || !may_bench)) return close();
  if (!may_bench) return HealthChange::none;
  if (probe) ++failed_probes_;
  const std::optional<Sentence> sentence = judge(failure, rules, standing, now);
  return sentence ? bench(*sentence, standing, failure, random, now) : HealthChange::none;
}

std::optional<DeploymentHealth::Sentence> DeploymentHealth::judge(const Failure& failure,
                                                                  const CooldownRules& rules,
                                                                  Standing standing,
                                                                  TimePoint now) {
  const Effect effect = effect_of(failure);
  const unsigned doublings = standing == Standing::probe ? failed_probes_ : 0;
  const Duration cooldown =
      failure.hint ? failure.hint->delay : default_cooldown(failure.error_class, rules, doublings);
  const Sentence cools{HealthState::cooling, cooldown, failure.hint.has_value()};

  if (const auto allowed = allowance(failure, rules, effect)) {
    return exceeds(*allowed, failure.error_class, standing, now) ? std::optional(cools)
                                                                 : std::nullopt;
  }
  if (effect == Effect::alive) return std::nullopt;
  if (failure.hint) return cools;
  // Without a hint a late outcome is old news: a probe has answered since, or will.
  if (standing == Standing::late && (effect == Effect::breaks || !benched())) return std::nullopt;
  if (effect == Effect::cools) return cools;
  if (standing == Standing::current && !breaker_trips(now)) return std::nullopt;
  const Duration open = doubled(bounds::kBreakerBase, doublings, bounds::kBreakerCap);
  return Sentence{HealthState::breaker_open, rules.cooldown_time.value_or(open), false};
}

// Counts one failure against the operator's allowance. What is benched already has used it up.
bool DeploymentHealth::exceeds(unsigned allowed, ErrorClass error_class, Standing standing,
                               TimePoint now) {
  if (standing != Standing::current) return benched();
  Minute& used = tolerated_.try_emplace(error_class, bounds::kBreakerWindow).first->second;
  used.add(now);
  return used.total(now) > allowed;
}

bool DeploymentHealth::breaker_trips(TimePoint now) const {
  if (consecutive_failures_ >= bounds::kBreakerConsecutive) return true;
  const std::uint64_t failures = failures_.total(now);
  const std::uint64_t requests = failures + successes_.total(now);
  return requests >= bounds::kBreakerMinimumRequests && failures * 2 > requests;
}

HealthChange DeploymentHealth::bench(const Sentence& sentence, Standing standing,
                                     const Failure& failure, Random& random, TimePoint now) {
  const auto jitter = std::chrono::duration_cast<Duration>(
      sentence.length * (bounds::kCooldownJitter * uniform(random)));
  const TimePoint until = now + sentence.length + jitter;
  const bool extends = benched() && standing == Standing::late;
  if (extends && until <= until_) return HealthChange::none;  // a bench is never shortened
  state_ = sentence.state;
  until_ = until;
  agreed_until_ = until;
  named_by_upstream_ = sentence.named;
  cause_ = failure.error_class;
  ++generation_;
  bench_id_ = {0, generation_};
  probed_elsewhere_until_ = {};
  if (extends) return HealthChange::extended;
  return state_ == HealthState::cooling ? HealthChange::cooled_down : HealthChange::breaker_opened;
}

}  // namespace spillway
