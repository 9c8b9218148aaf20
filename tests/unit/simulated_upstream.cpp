#include "tests/unit/simulated_upstream.hpp"

#include "decision_support.hpp"

namespace spillway::simulation {

namespace {

using testing::add_deployment;
using testing::add_group;
using testing::failed_with;

void vary(CooldownRules& rules, Random& random) {
  if (chance(random, 0.15)) rules.cooldown_time = seconds(below(random, 20));
  if (chance(random, 0.15)) rules.allowed_fails = below(random, 4);
  if (chance(random, 0.05)) rules.disabled = true;
  if (!chance(random, 0.1)) return;
  for (auto& allowed : rules.allowed_fails_policy) {
    if (chance(random, 0.2)) allowed = below(random, 4);
  }
}

void vary(Deployment& deployment, Random& random) {
  if (chance(random, 0.3)) deployment.order = static_cast<int>(below(random, 3));
  if (chance(random, 0.3)) {
    deployment.weighted = true;
    deployment.weight = below(random, 4);
  }
  if (chance(random, 0.3)) deployment.max_input_tokens = 1000 * (1 + below(random, 3));
  if (chance(random, 0.1)) deployment.num_retries = below(random, 8);
  if (chance(random, 0.1)) deployment.timeout = seconds(1 + below(random, 10));
  if (chance(random, 0.1)) deployment.stream_timeout = seconds(1 + below(random, 5));
  if (chance(random, 0.1))
    deployment.targets[static_cast<std::size_t>(Endpoint::embeddings)].clear();
  deployment.assistant_prefill = chance(random, 0.3);
  vary(deployment.cooldown, random);
}

ModelMatch match(const Config& config, std::uint32_t group, Random& random) {
  ModelMatch result{GroupIndex{group}, {}};
  if (config.groups[group].wildcard) result.captures.emplace_back(chance(random, 0.5) ? "a" : "b");
  return result;
}

void vary_fallbacks(Config& config, ModelGroup& group, Random& random) {
  const auto any = [&](double share) {
    std::vector<ModelMatch> result;
    for (std::uint32_t to = 0; to < config.groups.size(); ++to) {
      if (chance(random, share)) result.push_back(match(config, to, random));
    }
    return result;
  };
  group.fallbacks = any(0.3);
  group.content_policy_fallbacks = any(0.2);
  if (chance(random, 0.3)) group.context_window_fallbacks = any(0.5);
}

void vary(RouterSettings& router, Random& random) {
  router.max_attempts = 1 + below(random, 8);
  router.max_fallbacks = below(random, 5);
  router.max_wait = milliseconds(below(random, 4) * 2500);
  router.failover = !chance(random, 0.05);
  if (chance(random, 0.1)) router.retry_after = seconds(1);
  if (chance(random, 0.3)) router.retry_budget_share = uniform(random) * 0.6;
  router.timeout = seconds(5 + below(random, 20));
  if (chance(random, 0.3)) router.stream_timeout = seconds(2 + below(random, 10));
  if (chance(random, 0.5)) {
    router.hedge.emplace();
    if (chance(random, 0.7)) router.hedge->after = milliseconds(20 + below(random, 1000));
    if (chance(random, 0.7)) router.hedge->share = uniform(random);
  }
}

}  // namespace

Config random_config(Random& random) {
  Config config;
  const unsigned groups = 1 + below(random, 4);
  for (unsigned g = 0; g < groups; ++g) {
    const GroupIndex group = add_group(config, "group-" + std::to_string(g));
    const bool wildcard = chance(random, 0.1);
    config.groups[g].wildcard = wildcard;
    config.groups[g].num_retries = below(random, 7);
    const unsigned least = g == 0 ? 1 : 0;
    const unsigned deployments = least + below(random, chance(random, 0.1) ? 12 : 4);
    for (unsigned d = 0; d < deployments; ++d) {
      Deployment& deployment = config.deployments[add_deployment(config, group).value];
      if (wildcard) deployment.model = "upstream-*";
      vary(deployment, random);
    }
  }
  for (ModelGroup& group : config.groups) vary_fallbacks(config, group, random);
  vary(config.router, random);
  config.stream_recovery = !chance(random, 0.1);
  if (chance(random, 0.2)) config.timeouts.total = seconds(1 + below(random, 20));
  return config;
}

ModelMatch random_model(const Config& config, Random& random) {
  return match(config, 0, random);
}

Upstream::Upstream(Random& random)
    : stale_share_(chance(random, 0.3) ? uniform(random) * 0.3 : 0.0),
      slowness_ms_(chance(random, 0.2) ? 6000 : 800) {}

void Upstream::change_mood(Random& random, TimePoint now) {
  mood_ = static_cast<Mood>(below(random, 7));
  mood_ends_ = now + seconds(1) + up_to(random, chance(random, 0.3) ? 200000 : 30000);
  share_ = chance(random, 0.5) ? 1.0 : uniform(random);
  error_class_ = static_cast<ErrorClass>(below(random, kErrorClassCount - 1));
  hint_ms_ = chance(random, 0.5) ? 0 : 1 + below(random, chance(random, 0.2) ? 60000 : 6000);
  if (mood_ == Mood::limiting)
    error_class_ = chance(random, 0.9) ? ErrorClass::rate_limit : ErrorClass::quota_exhausted;
}

Failure Upstream::failure(Random& random, ErrorClass error_class) const {
  Failure result = failed_with(error_class);
  if (hint_ms_ > 0 && chance(random, 0.8))
    result.hint = RetryHint{milliseconds(hint_ms_), HintSource::retry_after_seconds};
  result.upstream_status = result.status;
  result.concerns_deployment = chance(random, 0.5);
  result.client_deadline = error_class == ErrorClass::timeout && chance(random, 0.2);
  return result;
}

Plan Upstream::answer(Random& random, TimePoint now) {
  Plan plan;
  plan.to_head = up_to(random, healthy_for_good_ ? 100 : slowness_ms_);
  plan.to_content = up_to(random, healthy_for_good_ ? 100 : 2000);
  plan.to_end = up_to(random, healthy_for_good_ ? 100 : 20000);
  if (healthy_for_good_) return plan;

  if (now >= mood_ends_) change_mood(random, now);
  plan.resumable = chance(random, 0.6);
  plan.stale = chance(random, stale_share_);
  switch (mood_) {
    case Mood::healthy:
      break;
    case Mood::failing:
    case Mood::limiting:
      if (!chance(random, share_)) break;
      plan.ending = Plan::Ending::fail_early;
      plan.failure = failure(random, error_class_);
      break;
    case Mood::outage:
      plan.ending = Plan::Ending::fail_early;
      plan.failure = failed_with(ErrorClass::connection);
      break;
    case Mood::silent:
      plan.silent = chance(random, share_);
      break;
    case Mood::cutting:
      if (!chance(random, share_)) break;
      plan.ending =
          chance(random, 0.5) ? Plan::Ending::cut_before_content : Plan::Ending::cut_after_content;
      plan.failure = failure(random, chance(random, 0.5) ? ErrorClass::protocol : error_class_);
      break;
    case Mood::flapping:
      if (now >= flips_) {
        up_ = !up_;
        flips_ = now + milliseconds(200) + up_to(random, 5000);
      }
      if (up_) break;
      plan.ending = Plan::Ending::fail_early;
      plan.failure = failed_with(ErrorClass::unavailable);
      break;
  }
  return plan;
}

}  // namespace spillway::simulation
