// router_settings and litellm_settings: LiteLLM's names and meanings. Where both say something,
// router_settings counts.
#pragma once

#include <optional>
#include <string>

#include "config/body_rules.hpp"
#include "config/section.hpp"
#include "core/config.hpp"

namespace spillway::config {

struct RouterDefaults {
  RouterSettings router;
  unsigned num_retries = 2;
  std::optional<unsigned> max_parallel_requests;  // of a deployment that does not say its own
  CooldownRules cooldown;
  DropParams drop_params = DropParams::no;
  std::string ca_file;
  std::optional<RedisSettings> redis;
  // Read once the groups are known; nullptr where absent.
  const Node* fallbacks = nullptr;
  const Node* context_window_fallbacks = nullptr;
  const Node* content_policy_fallbacks = nullptr;
  const Node* default_fallbacks = nullptr;
  const Node* model_group_alias = nullptr;
  const Node* retry_policy = nullptr;
  const Node* model_group_retry_policy = nullptr;
  const Node* default_litellm_params = nullptr;  // a map, for what a deployment does not say
};

// The nodes in the answer belong to `root`.
RouterDefaults read_router_settings(const Node& root, Context& context);

// allowed_fails, allowed_fails_policy and cooldown_time of a section, laid over `rules`.
void read_cooldown_rules(Section& section, Context& context, CooldownRules& rules);

// The same for a deployment: what it tolerates replaces what the router does, as a whole.
void read_deployment_cooldown_rules(Section& section, Context& context, CooldownRules& rules);

// What is wrong with a file of certificates to trust ("does not exist"), or an empty text.
std::string authorities_fault(const std::string& file);

// ssl_verify: a certificate file to trust, or true. Verification cannot be turned off.
void read_ssl_verify(Section& section, Context& context, std::string& ca_file);

inline constexpr Range<Duration> kPositiveTimes{milliseconds(1), seconds(30 * 24 * 3600)};
inline constexpr Range<Duration> kTimes{Duration{}, seconds(30 * 24 * 3600)};
inline constexpr Range<std::uint64_t> kRetries{0, 100};
inline constexpr Range<std::uint64_t> kParallel{1, 1'000'000};

}  // namespace spillway::config
