#include "server/metrics.hpp"

namespace spillway::server {
namespace {

std::size_t slot(ErrorClass error_class) {
  return static_cast<std::size_t>(error_class);
}

bool benched(HealthChange change) {
  return change == HealthChange::cooled_down || change == HealthChange::breaker_opened;
}

template <typename Map, typename Key>
typename Map::mapped_type::element_type& cell_of(Map& map, const Key& key) {
  auto& cell = map[key];
  if (!cell) cell = std::make_unique<typename Map::mapped_type::element_type>();
  return *cell;
}

}  // namespace

void MetricsShard::use(const Config& config) {
  const std::lock_guard lock(guard_);
  config_ = &config;
  groups_.clear();
  deployments_.clear();
  for (const ModelGroup& group : config.groups) {
    groups_.push_back(&cell_of(group_cells_, group.name));
  }
  for (const Deployment& deployment : config.deployments) {
    const std::pair key(config.at(deployment.group).name, deployment.id);
    deployments_.push_back(&cell_of(deployment_cells_, key));
  }
}

// A request that began before a reload still counts by its own configuration; its names were
// entered when that one was in use, so nothing is added to the maps here.
GroupCells& MetricsShard::cells(const Config& config, GroupIndex group) {
  if (&config == config_) return *groups_[group.value];
  return *group_cells_.find(config.at(group).name)->second;
}

DeploymentCells& MetricsShard::cells(const Config& config, DeploymentIndex deployment) {
  if (&config == config_) return *deployments_[deployment.value];
  const Deployment& asked = config.at(deployment);
  return *deployment_cells_.find({config.at(asked.group).name, asked.id})->second;
}

void MetricsShard::count_request(const Config& config, const RequestSample& sample) {
  GroupCells& group = cells(config, sample.group);
  group.requests[status_slot(sample.status)].add();
  if (sample.error_class) group.failures[slot(*sample.error_class)].add();
  group.tokens[0].add(sample.prompt_tokens);
  group.tokens[1].add(sample.completion_tokens);
  group.duration.observe(sample.total);
  if (sample.time_to_first_token) group.first_token.observe(*sample.time_to_first_token);
  process_.overhead.observe(sample.overhead);
}

void MetricsShard::count_attempts(const Config& config, std::span<const AttemptRecord> attempts) {
  for (const AttemptRecord& attempt : attempts) {
    DeploymentCells& deployment = cells(config, attempt.deployment);
    const std::size_t outcome = attempt.outrun        ? kOutrunSlot
                                : attempt.error_class ? slot(*attempt.error_class)
                                                      : kSuccessSlot;
    deployment.attempts[outcome].add();
    if (attempt.error_class && benched(attempt.change)) {
      deployment.cooldowns[slot(*attempt.error_class)].add();
    }
  }
}

void MetricsShard::count_rejected(int status) {
  process_.rejected[status_slot(status)].add();
}

void MetricsShard::count_hint(HintSource source) {
  process_.hints[static_cast<std::size_t>(source)].add();
}

void MetricsShard::count_recovered_stream() {
  process_.recovered_streams[0].add();
}

void MetricsShard::count_dropped_events(std::uint64_t events) {
  process_.dropped_events[0].add(events);
}

void MetricsShard::count_client_disconnect() {
  process_.client_disconnects[0].add();
}
void MetricsShard::count_tls_handshake(TlsHandshake handshake) {
  process_.tls_handshakes[static_cast<std::size_t>(handshake)].add();
}
void MetricsShard::count_pool_opened() {
  process_.pool_opened[0].add();
}
void MetricsShard::count_pool_reused() {
  process_.pool_reused[0].add();
}

void MetricsShard::set_client_connections(std::uint64_t connections) {
  process_.client_connections[0].set(connections);
}

void MetricsShard::set_pool_connections(std::uint64_t idle, std::uint64_t busy) {
  process_.pool_idle[0].set(idle);
  process_.pool_busy[0].set(busy);
}

void MetricsShard::add_to(MetricTotals& totals) const {
  const std::lock_guard lock(guard_);
  for (const auto& [name, cells] : group_cells_) totals.groups[name].add(*cells);
  for (const auto& [key, cells] : deployment_cells_) totals.deployments[key].add(*cells);
  totals.process.add(process_);
}

}  // namespace spillway::server
