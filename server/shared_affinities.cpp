#include "server/shared_affinities.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <utility>

#include "core/bounds.hpp"
#include "server/redis_reply.hpp"

namespace spillway::server {

SharedAffinities::SharedAffinities(unsigned database)
    : channel_(fmt::format("spillway:affinities:{}", database)) {}

void SharedAffinities::use(SnapshotPtr snapshot) {
  snapshot_ = std::move(snapshot);
  known_.clear();
  for (const Deployment& deployment : snapshot_->config.deployments) known_.insert(deployment.id);
}

std::vector<SharedCommand> SharedAffinities::news() {
  std::vector<AffinityNews> told;
  {
    const std::lock_guard lock(snapshot_->affinity->guard);
    told.swap(snapshot_->affinity->news);
  }
  std::vector<SharedCommand> out;
  std::span<const AffinityNews> rest = told;
  while (!rest.empty()) {
    const auto batch = rest.first(std::min(rest.size(), bounds::kAffinityNewsBatch));
    rest = rest.subspan(batch.size());
    out.push_back({.part = SharedCommand::Part::affinity,
                   .deployment = {},
                   .bytes = redis_command({"PUBLISH", channel_, to_string(batch)})});
  }
  return out;
}

bool SharedAffinities::on_message(std::string_view text, TimePoint now) {
  const auto heard = parse_affinity_news(text);
  if (!heard) return false;
  const AffinityRules& rules = snapshot_->config.router.affinity;
  if (!rules.session && !rules.client_key && !rules.prompt_prefix) return true;
  const std::lock_guard lock(snapshot_->affinity->guard);
  for (const AffinityNews& each : *heard) {
    if (!known_.contains(each.deployment_id)) continue;
    snapshot_->affinity->table.learn(each.key, each.deployment_id, std::min(each.ttl, rules.ttl),
                                     now);
  }
  return true;
}

}  // namespace spillway::server
