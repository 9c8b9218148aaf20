// The Prometheus page: sums of the shards and the state of the fleet as metric families.
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <initializer_list>
#include <limits>
#include <string>

#include "core/body.hpp"
#include "server/access_log.hpp"
#include "server/metrics.hpp"

namespace spillway::server {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

// One family under construction. Counters that are zero are left out unless asked for: most
// deployments never see most classes.
class Family {
 public:
  Family(MetricType type, std::string name, std::string help) {
    family_.name = std::move(name);
    family_.help = std::move(help);
    family_.type = type;
  }

  Family& add(Labels labels, double value) {
    ClientMetric& metric = metric_of(std::move(labels));
    (family_.type == MetricType::Gauge ? metric.gauge.value : metric.counter.value) = value;
    return *this;
  }
  Family& add(Labels labels, std::uint64_t value) {
    return add(std::move(labels), static_cast<double>(value));
  }
  Family& add_unless_zero(Labels labels, std::uint64_t value) {
    return value == 0 ? *this : add(std::move(labels), value);
  }

  // Names in the configuration may hold bytes that are not UTF-8, which would spoil the page.
  ClientMetric& metric_of(Labels labels) {
    for (auto& label : labels) label.value = unescape(quote(label.value)).value_or(std::string());
    ClientMetric& metric = family_.metric.emplace_back();
    metric.label = std::move(labels);
    return metric;
  }

  template <const auto& kBounds>
  Family& add(Labels labels, const HistogramTotal<kBounds>& total) {
    ClientMetric& metric = metric_of(std::move(labels));
    std::uint64_t count = 0;
    for (std::size_t i = 0; i < total.counts.size(); ++i) {
      count += total.counts[i];
      const double bound =
          i < kBounds.size() ? kBounds[i] : std::numeric_limits<double>::infinity();
      metric.histogram.bucket.push_back({count, bound});
    }
    metric.histogram.sample_count = count;
    metric.histogram.sample_sum = static_cast<double>(total.sum_ns) * 1e-9;
    return *this;
  }

  MetricFamily take() { return std::move(family_); }

 private:
  MetricFamily family_;
};

Family counter(std::string name, std::string help) {
  return {MetricType::Counter, std::move(name), std::move(help)};
}
Family gauge(std::string name, std::string help) {
  return {MetricType::Gauge, std::move(name), std::move(help)};
}
Family histogram(std::string name, std::string help) {
  return {MetricType::Histogram, std::move(name), std::move(help)};
}

std::string class_label(std::size_t slot) {
  if (slot == kSuccessSlot) return "success";
  if (slot == kOutrunSlot) return "outrun";
  return std::string(name(static_cast<ErrorClass>(slot)));
}

using Families = std::vector<MetricFamily>;

void add_groups(Families& families, const MetricTotals& totals) {
  Family requests =
      counter("spillway_requests_total", "Finished requests, by what the client saw.");
  Family failures = counter("spillway_request_failures_total", "Requests that failed, by class.");
  Family tokens = counter("spillway_tokens_total", "Tokens, as far as providers reported them.");
  Family first = histogram("spillway_time_to_first_token_seconds",
                           "From the request's end to the first content of its stream.");
  Family duration = histogram("spillway_request_duration_seconds",
                              "From the request's head to the end of its answer.");
  for (const auto& [group, total] : totals.groups) {
    for (std::size_t i = 0; i < kStatusSlots; ++i) {
      requests.add_unless_zero({{"group", group}, {"status", status_label(i)}},
                               total.requests.values[i]);
    }
    for (std::size_t i = 0; i < kErrorClassCount; ++i) {
      failures.add_unless_zero({{"group", group}, {"class", class_label(i)}},
                               total.failures.values[i]);
    }
    tokens.add({{"group", group}, {"kind", "prompt"}}, total.tokens.values[0]);
    tokens.add({{"group", group}, {"kind", "completion"}}, total.tokens.values[1]);
    first.add({{"group", group}}, total.first_token);
    duration.add({{"group", group}}, total.duration);
  }
  for (Family* family : {&requests, &failures, &tokens, &first, &duration}) {
    families.push_back(family->take());
  }
}

void add_deployments(Families& families, const MetricTotals& totals) {
  Family attempts = counter("spillway_attempts_total", "Calls to providers, by how they ended.");
  Family cooldowns =
      counter("spillway_cooldowns_total",
              "Times a deployment was benched, by the class of failure that did it.");
  for (const auto& [key, total] : totals.deployments) {
    const auto& [group, deployment] = key;
    for (std::size_t i = 0; i < kOutcomeSlots; ++i) {
      const Labels labels = {
          {"group", group}, {"deployment", deployment}, {"class", class_label(i)}};
      if (i == kSuccessSlot) attempts.add(labels, total.attempts.values[i]);
      if (i != kSuccessSlot) attempts.add_unless_zero(labels, total.attempts.values[i]);
    }
    for (std::size_t i = 0; i < kErrorClassCount; ++i) {
      cooldowns.add_unless_zero(
          {{"group", group}, {"deployment", deployment}, {"class", class_label(i)}},
          total.cooldowns.values[i]);
    }
  }
  families.push_back(attempts.take());
  families.push_back(cooldowns.take());
}

double state_value(HealthState state) {
  switch (state) {
    case HealthState::closed:
      return 0;
    case HealthState::half_open:
      return 1;
    case HealthState::breaker_open:
      return 2;
    case HealthState::cooling:
      return 3;
  }
  return 0;
}

void add_fleet(Families& families, const Config& config, Fleet& fleet, TimePoint now) {
  Family state =
      gauge("spillway_deployment_state", "0 closed, 1 half-open, 2 breaker open, 3 cooling down.");
  Family in_flight = gauge("spillway_in_flight", "Calls to the deployment that are under way.");
  std::uint64_t left_out = 0;
  for (std::uint32_t i = 0; i < config.deployments.size(); ++i) {
    const Deployment& deployment = config.deployments[i];
    if (!deployment.usable()) {
      ++left_out;
      continue;
    }
    const Availability available = fleet.availability(DeploymentIndex{i}, now);
    const Labels labels = {{"deployment", deployment.id},
                           {"group", config.at(deployment.group).name}};
    state.add(labels, state_value(available.state));
    in_flight.add(labels, std::uint64_t{available.in_flight});
  }
  families.push_back(state.take());
  families.push_back(in_flight.take());
  families.push_back(gauge("spillway_deployments_left_out",
                           "Configured deployments that cannot be used; /health says why.")
                         .add({}, left_out)
                         .take());
}

void add_rest(Families& families, const ProcessTotal& total, std::string_view version) {
  Family rejected = counter("spillway_rejected_requests_total",
                            "Requests the gateway itself refused, before any provider was asked.");
  for (std::size_t i = 0; i < kStatusSlots; ++i) {
    rejected.add_unless_zero({{"status", status_label(i)}}, total.rejected.values[i]);
  }
  Family hints =
      counter("spillway_retry_hints_total", "Retry hints of providers, by where they stood.");
  for (std::size_t i = 0; i < kHintSourceCount; ++i) {
    hints.add({{"source", std::string(name(static_cast<HintSource>(i)))}}, total.hints.values[i]);
  }
  Family pool = gauge("spillway_pool_connections", "Connections to providers.");
  pool.add({{"state", "idle"}}, total.pool_idle.values[0]);
  pool.add({{"state", "busy"}}, total.pool_busy.values[0]);
  families.push_back(rejected.take());
  families.push_back(hints.take());
  families.push_back(pool.take());

  const auto plain = [&families](Family family, std::uint64_t value) {
    families.push_back(family.add({}, value).take());
  };
  plain(counter("spillway_pool_opened_total", "Connections to providers that were opened."),
        total.pool_opened.values[0]);
  plain(counter("spillway_pool_reused_total", "Calls made on a connection that was open already."),
        total.pool_reused.values[0]);
  plain(
      counter("spillway_dropped_events_total", "Stream events dropped because they were not JSON."),
      total.dropped_events.values[0]);
  plain(counter("spillway_recovered_streams_total",
                "Streams that broke and that another deployment finished exactly."),
        total.recovered_streams.values[0]);
  plain(
      counter("spillway_client_disconnects_total", "Clients that left before their answer ended."),
      total.client_disconnects.values[0]);
  plain(counter("spillway_dropped_log_lines_total", "Access-log lines lost to a slow reader."),
        dropped_log_lines());
  plain(gauge("spillway_client_connections", "Open client connections."),
        total.client_connections.values[0]);

  Family overhead = histogram("spillway_overhead_seconds",
                              "The gateway's own share of a request's time to the response head.");
  families.push_back(overhead.add({}, total.overhead).take());
  Family build = gauge("spillway_build_info", "Always 1; the labels tell what runs.");
  families.push_back(build.add({{"version", std::string(version)}}, 1.0).take());
}

void add_edge(Families& families, const EdgeCounts& edge) {
  Family requests = gauge("spillway_requests",
                          "Requests that run now, and those that wait for one of them to end.");
  requests.add({{"state", "running"}}, std::uint64_t{edge.running});
  requests.add({{"state", "waiting"}}, std::uint64_t{edge.waiting});
  families.push_back(requests.take());
  families.push_back(gauge("spillway_stuck_workers",
                           "Threads that have not come back to their event loops for seconds.")
                         .add({}, std::uint64_t{edge.stuck_workers})
                         .take());
  families.push_back(gauge("spillway_memory_bytes", "The process's resident memory.")
                         .add({}, std::uint64_t{edge.memory})
                         .take());
  families.push_back(gauge("spillway_memory_limit_bytes",
                           "What it is kept below by refusing requests; 0: nothing.")
                         .add({}, std::uint64_t{edge.memory_limit})
                         .take());
}

void add_tls(Families& families, const ProcessTotal& total, const CertificateCounts& certificate) {
  Family handshakes =
      counter("spillway_tls_handshakes_total", "TLS handshakes of clients, by how they ended.");
  for (std::size_t i = 0; i < kTlsHandshakeCount; ++i) {
    handshakes.add({{"result", std::string(name(static_cast<TlsHandshake>(i)))}},
                   total.tls_handshakes.values[i]);
  }
  Family reads =
      counter("spillway_tls_certificate_reads_total",
              "Times that the certificate was read; a failed one leaves the old in use.");
  reads.add({{"result", "used"}}, certificate.loaded);
  reads.add({{"result", "failed"}}, certificate.failed);
  families.push_back(handshakes.take());
  families.push_back(reads.take());
  families.push_back(gauge("spillway_tls_certificate_expiry_seconds",
                           "When the certificate in use expires, in seconds since 1970.")
                         .add({}, static_cast<double>(certificate.expires_at))
                         .take());
}

void add_shared_limits(Families& families, const Config& config, Fleet& fleet, TimePoint now) {
  Family family = gauge("spillway_deployment_limits_shared",
                        "1 while rpm and tpm are limits of all instances together, 0 while each "
                        "instance has its own.");
  for (std::uint32_t i = 0; i < config.deployments.size(); ++i) {
    const Deployment& deployment = config.deployments[i];
    const CallLimits limits = limits_of(config, {i});
    if (!deployment.usable() || (!limits.rpm && !limits.tpm)) continue;
    const Load load = fleet.load({i}, Delivery::whole, now);
    family.add({{"deployment", deployment.id}, {"group", config.at(deployment.group).name}},
               load.limits_shared ? 1.0 : 0.0);
  }
  families.push_back(family.take());
}

void add_shared(Families& families, const SharedStateCounts& shared) {
  families.push_back(gauge("spillway_shared_state_connected",
                           "1 while Redis connects this instance with the others.")
                         .add({}, shared.connected ? 1.0 : 0.0)
                         .take());
  families.push_back(counter("spillway_shared_state_errors_total",
                             "Outages of the shared state, and what it said that was of no use.")
                         .add({}, shared.errors)
                         .take());
  Family messages =
      counter("spillway_shared_state_messages_total", "News told to and heard from instances.");
  messages.add({{"direction", "published"}}, shared.published);
  messages.add({{"direction", "received"}}, shared.received);
  families.push_back(messages.take());
}

void add_reloads(Families& families, const ReloadCounts& reloads) {
  Family counts =
      counter("spillway_config_reloads_total", "Times the configuration was read again.");
  counts.add({{"result", "success"}}, reloads.successes);
  counts.add({{"result", "failure"}}, reloads.failures);
  families.push_back(counts.take());
  families.push_back(gauge("spillway_config_last_reload_successful",
                           "0 while what was read last is not what is in use.")
                         .add({}, reloads.last_failed ? 0.0 : 1.0)
                         .take());
  const std::chrono::duration<double> loaded = reloads.loaded_at.time_since_epoch();
  families.push_back(gauge("spillway_config_last_reload_success_timestamp_seconds",
                           "When the configuration in use was loaded.")
                         .add({}, loaded.count())
                         .take());
}

}  // namespace

std::string render_metrics(const Config& config, std::span<const MetricsShard* const> shards,
                           Fleet& fleet, TimePoint now, std::string_view version,
                           const std::optional<SharedStateCounts>& shared, const EdgeCounts& edge,
                           const std::optional<ReloadCounts>& reloads) {
  MetricTotals totals;
  for (const MetricsShard* shard : shards) shard->add_to(totals);
  Families families;
  add_groups(families, totals);
  add_deployments(families, totals);
  add_fleet(families, config, fleet, now);
  add_rest(families, totals.process, version);
  add_edge(families, edge);
  if (edge.certificate) add_tls(families, totals.process, *edge.certificate);
  if (shared) {
    add_shared(families, *shared);
    add_shared_limits(families, config, fleet, now);
  }
  if (reloads) add_reloads(families, *reloads);
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace spillway::server
