#include "config/retry_policy.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

#include "config/suggest.hpp"

namespace spillway::config {

namespace {

struct RetryKey {
  std::string_view key;
  ErrorClass error_class;
};

// LiteLLM raises InternalServerError for lost connections and broken answers too.
constexpr auto kRetryKeys = std::to_array<RetryKey>({
    {"TimeoutErrorRetries", ErrorClass::timeout},
    {"RateLimitErrorRetries", ErrorClass::rate_limit},
    {"InternalServerErrorRetries", ErrorClass::internal},
    {"InternalServerErrorRetries", ErrorClass::connection},
    {"InternalServerErrorRetries", ErrorClass::protocol},
    {"ServiceUnavailableErrorRetries", ErrorClass::unavailable},
    {"BadGatewayErrorRetries", ErrorClass::bad_gateway},
});

// What the same deployment would answer in the same way however often it is asked.
constexpr auto kInVain =
    std::to_array<std::string_view>({"BadRequestErrorRetries", "AuthenticationErrorRetries",
                                     "ContentPolicyViolationErrorRetries", "NotFoundErrorRetries"});

RetryPolicy read_policy(const Node* node, Context& context) {
  RetryPolicy policy{};
  Section section(node, context);
  for (const RetryKey& entry : kRetryKeys) {
    if (const auto retries = section.count(entry.key, kRetries))
      policy[static_cast<std::size_t>(entry.error_class)] = static_cast<unsigned>(*retries);
  }
  for (const std::string_view key : kInVain) {
    if (section.count(key, kRetries).value_or(0) == 0) continue;
    context.warn(*section.get(key),
                 "has no effect: the same deployment would give the same answer again");
  }
  section.finish();
  return policy;
}

std::vector<std::string_view> group_names(const Config& config) {
  std::vector<std::string_view> names;
  for (const ModelGroup& group : config.groups) names.push_back(group.name);
  return names;
}

void read_group_policies(const Node* node, Context& context, Config& config) {
  Section checked(node, context);  // anything but a map is a fault
  if (node == nullptr || node->kind != NodeKind::map) return;
  for (const Member& member : node->members) {
    const auto alias = config.aliases.find(member.key);
    const std::string& name = alias == config.aliases.end() ? member.key : alias->second;
    const auto group = std::ranges::find(config.groups, name, &ModelGroup::name);
    const RetryPolicy policy = read_policy(&member.value, context);
    if (group != config.groups.end()) {
      group->retry_policy = policy;
      continue;
    }
    context.report.warn(member.place, member.value.path,
                        fmt::format("there is no model group \"{}\", so this has no effect{}", name,
                                    did_you_mean(name, group_names(config))));
  }
}

}  // namespace

void read_retry_policies(const RouterDefaults& defaults, Context& context, Config& config) {
  const RetryPolicy general = read_policy(defaults.retry_policy, context);
  for (ModelGroup& group : config.groups) {
    group.num_retries = defaults.num_retries;
    group.retry_policy = general;
  }
  read_group_policies(defaults.model_group_retry_policy, context, config);
}

}  // namespace spillway::config
