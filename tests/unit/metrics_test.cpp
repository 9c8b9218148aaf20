#include "server/metrics.hpp"

#include <catch2/catch_test_macros.hpp>
#include <string>
#include <thread>

namespace spillway::server {
namespace {

const TimePoint kNow{seconds(1000)};

void add_group(Config& config, std::string name, std::vector<std::string> deployments) {
  const GroupIndex group{static_cast<std::uint32_t>(config.groups.size())};
  config.groups.emplace_back().name = std::move(name);
  for (std::string& id : deployments) {
    const DeploymentIndex index{static_cast<std::uint32_t>(config.deployments.size())};
    Deployment& deployment = config.deployments.emplace_back();
    deployment.id = std::move(id);
    deployment.group = group;
    config.groups.back().deployments.push_back(index);
  }
}

Config two_groups() {
  Config config;
  add_group(config, "chat", {"a", "b"});
  add_group(config, "embed", {"c"});
  return config;
}

std::string page(const Config& config, const MetricsShard& shard) {
  LocalFleet fleet(config, 1);
  const MetricsShard* const shards[] = {&shard};
  return render_metrics(config, shards, fleet, kNow, "1.2.3");
}

bool has_line(const std::string& text, std::string_view line) {
  return ("\n" + text).find("\n" + std::string(line) + "\n") != std::string::npos;
}

}  // namespace

TEST_CASE("requests are counted by group and status, failures by class") {
  const Config config = two_groups();
  MetricsShard shard(config);
  RequestSample sample{.group = GroupIndex{0}};
  shard.count_request(config, sample);
  shard.count_request(config, sample);
  sample.status = 429;
  sample.error_class = ErrorClass::rate_limit;
  shard.count_request(config, sample);
  sample = {.group = GroupIndex{1}, .status = 777, .error_class = ErrorClass::protocol};
  shard.count_request(config, sample);

  const std::string text = page(config, shard);
  CHECK(has_line(text, R"(spillway_requests_total{group="chat",status="200"} 2)"));
  CHECK(has_line(text, R"(spillway_requests_total{group="chat",status="429"} 1)"));
  CHECK(has_line(text, R"(spillway_requests_total{group="embed",status="other"} 1)"));
  CHECK(has_line(text, R"(spillway_request_failures_total{group="chat",class="rate_limit"} 1)"));
  CHECK(has_line(text, R"(spillway_request_failures_total{group="embed",class="protocol"} 1)"));
}

TEST_CASE("attempts are counted by class, cooldowns only where something was benched") {
  const Config config = two_groups();
  MetricsShard shard(config);
  const AttemptRecord attempts[] = {
      {DeploymentIndex{0}, ErrorClass::rate_limit, HealthChange::cooled_down},
      {DeploymentIndex{0}, ErrorClass::internal, HealthChange::breaker_opened},
      {DeploymentIndex{0}, ErrorClass::internal, HealthChange::none},
      {DeploymentIndex{0}, ErrorClass::rate_limit, HealthChange::extended},
      {DeploymentIndex{1}, std::nullopt, HealthChange::closed},
  };
  shard.count_attempts(config, attempts);

  const std::string text = page(config, shard);
  CHECK(has_line(text,
                 R"(spillway_attempts_total{group="chat",deployment="a",class="rate_limit"} 2)"));
  CHECK(
      has_line(text, R"(spillway_attempts_total{group="chat",deployment="a",class="internal"} 2)"));
  CHECK(
      has_line(text, R"(spillway_attempts_total{group="chat",deployment="a",class="success"} 0)"));
  CHECK(
      has_line(text, R"(spillway_attempts_total{group="chat",deployment="b",class="success"} 1)"));
  CHECK(has_line(text,
                 R"(spillway_cooldowns_total{group="chat",deployment="a",class="rate_limit"} 1)"));
  CHECK(has_line(text,
                 R"(spillway_cooldowns_total{group="chat",deployment="a",class="internal"} 1)"));
  CHECK(text.find(R"(spillway_cooldowns_total{group="chat",deployment="b")") == std::string::npos);
}

TEST_CASE("histograms are cumulative, a bound belongs to its own bucket") {
  const Config config = two_groups();
  MetricsShard shard(config);
  RequestSample sample{.group = GroupIndex{0}};
  sample.total = milliseconds(100);
  sample.overhead = std::chrono::microseconds(30);
  shard.count_request(config, sample);
  sample.total = seconds(10000);
  sample.time_to_first_token = milliseconds(400);
  shard.count_request(config, sample);

  const std::string text = page(config, shard);
  CHECK(has_line(text, R"(spillway_request_duration_seconds_bucket{group="chat",le="0.05"} 0)"));
  CHECK(has_line(text, R"(spillway_request_duration_seconds_bucket{group="chat",le="0.1"} 1)"));
  CHECK(has_line(text, R"(spillway_request_duration_seconds_bucket{group="chat",le="640"} 1)"));
  CHECK(has_line(text, R"(spillway_request_duration_seconds_bucket{group="chat",le="+Inf"} 2)"));
  CHECK(has_line(text, R"(spillway_request_duration_seconds_count{group="chat"} 2)"));
  CHECK(has_line(text, R"(spillway_request_duration_seconds_sum{group="chat"} 10000.1)"));
  CHECK(has_line(text, R"(spillway_time_to_first_token_seconds_count{group="chat"} 1)"));
  CHECK(has_line(text, R"(spillway_overhead_seconds_bucket{le="2.5e-05"} 0)"));
  CHECK(has_line(text, R"(spillway_overhead_seconds_count 2)"));
}

TEST_CASE("what has no group is counted for the process") {
  const Config config = two_groups();
  MetricsShard shard(config);
  shard.count_rejected(401);
  shard.count_rejected(418);
  shard.count_hint(HintSource::message);
  shard.count_dropped_events(3);
  shard.count_client_disconnect();
  shard.count_pool_opened();
  shard.count_pool_reused();
  shard.count_pool_reused();
  shard.set_client_connections(7);
  shard.set_client_connections(5);
  shard.set_pool_connections(4, 2);

  const std::string text = page(config, shard);
  CHECK(has_line(text, R"(spillway_rejected_requests_total{status="401"} 1)"));
  CHECK(has_line(text, R"(spillway_rejected_requests_total{status="other"} 1)"));
  CHECK(has_line(text, R"(spillway_retry_hints_total{source="message"} 1)"));
  CHECK(has_line(text, R"(spillway_retry_hints_total{source="body"} 0)"));
  CHECK(has_line(text, "spillway_dropped_events_total 3"));
  CHECK(has_line(text, "spillway_client_disconnects_total 1"));
  CHECK(has_line(text, "spillway_pool_opened_total 1"));
  CHECK(has_line(text, "spillway_pool_reused_total 2"));
  CHECK(has_line(text, "spillway_client_connections 5"));
  CHECK(has_line(text, R"(spillway_pool_connections{state="idle"} 4)"));
  CHECK(has_line(text, R"(spillway_pool_connections{state="busy"} 2)"));
  CHECK(has_line(text, R"(spillway_build_info{version="1.2.3"} 1)"));
}

TEST_CASE("tokens are counted by group and kind") {
  const Config config = two_groups();
  MetricsShard shard(config);
  shard.count_request(config,
                      {.group = GroupIndex{1}, .prompt_tokens = 10, .completion_tokens = 4});
  shard.count_request(config, {.group = GroupIndex{1}, .prompt_tokens = 1});
  const std::string text = page(config, shard);
  CHECK(has_line(text, R"(spillway_tokens_total{group="embed",kind="prompt"} 11)"));
  CHECK(has_line(text, R"(spillway_tokens_total{group="embed",kind="completion"} 4)"));
}

TEST_CASE("shards of all workers are summed") {
  const Config config = two_groups();
  MetricsShard one(config), two(config);
  one.count_request(config, {.group = GroupIndex{0}});
  two.count_request(config, {.group = GroupIndex{0}});
  one.set_client_connections(2);
  two.set_client_connections(3);
  LocalFleet fleet(config, 1);
  const MetricsShard* const shards[] = {&one, &two};
  const std::string text = render_metrics(config, shards, fleet, kNow, "v");
  CHECK(has_line(text, R"(spillway_requests_total{group="chat",status="200"} 2)"));
  CHECK(has_line(text, "spillway_client_connections 5"));
}

TEST_CASE("gauges tell each usable deployment's state, and how many are left out") {
  Config config = two_groups();
  config.groups[0].left_out.push_back(DeploymentIndex{1});
  config.groups[0].deployments.pop_back();
  config.deployments[1].unusable = "KEY is not set";
  LocalFleet fleet(config, 1);
  REQUIRE(fleet.begin(DeploymentIndex{0}, kNow, DeploymentHealth::Force::no));
  const auto failing = fleet.begin(DeploymentIndex{2}, kNow, DeploymentHealth::Force::no);
  Failure failure;
  failure.error_class = ErrorClass::rate_limit;
  fleet.failed(*failing, failure, Benching::allowed, kNow);
  fleet.end(*failing);

  MetricsShard shard(config);
  const MetricsShard* const shards[] = {&shard};
  const std::string text = render_metrics(config, shards, fleet, kNow, "v");
  CHECK(has_line(text, R"(spillway_deployment_state{deployment="a",group="chat"} 0)"));
  CHECK(has_line(text, R"(spillway_deployment_state{deployment="c",group="embed"} 3)"));
  CHECK(has_line(text, R"(spillway_in_flight{deployment="a",group="chat"} 1)"));
  CHECK(has_line(text, R"(spillway_in_flight{deployment="c",group="embed"} 0)"));
  CHECK(text.find(R"(deployment="b",group)") == std::string::npos);
  CHECK(has_line(text, "spillway_deployments_left_out 1"));
}

TEST_CASE("counts go on over a reload, also for requests that began before it") {
  const Config before = two_groups();
  MetricsShard shard(before);
  shard.count_request(before, {.group = GroupIndex{1}});
  Config after;
  add_group(after, "embed", {"c", "d"});
  shard.use(after);
  shard.count_request(after, {.group = GroupIndex{0}});
  shard.count_request(before, {.group = GroupIndex{1}});
  const AttemptRecord old_attempt[] = {{DeploymentIndex{2}, std::nullopt, HealthChange::none}};
  shard.count_attempts(before, old_attempt);

  const std::string text = page(after, shard);
  CHECK(has_line(text, R"(spillway_requests_total{group="embed",status="200"} 3)"));
  CHECK(
      has_line(text, R"(spillway_attempts_total{group="embed",deployment="c",class="success"} 1)"));
  CHECK(
      has_line(text, R"(spillway_attempts_total{group="embed",deployment="d",class="success"} 0)"));
}

TEST_CASE("how sharing goes is told where instances share, and nowhere else") {
  const Config config = two_groups();
  const MetricsShard shard(config);
  CHECK(page(config, shard).find("shared_state") == std::string::npos);
  LocalFleet fleet(config, 1);
  const MetricsShard* const shards[] = {&shard};
  const SharedStateCounts shared{.connected = true, .errors = 2, .published = 3, .received = 4};
  const std::string text = render_metrics(config, shards, fleet, kNow, "1.2.3", shared);
  CHECK(has_line(text, "spillway_shared_state_connected 1"));
  CHECK(has_line(text, "spillway_shared_state_errors_total 2"));
  CHECK(has_line(text, R"(spillway_shared_state_messages_total{direction="published"} 3)"));
  CHECK(has_line(text, R"(spillway_shared_state_messages_total{direction="received"} 4)"));
}

TEST_CASE("a metric tells of each limited deployment whether its limits are shared") {
  Config config;
  add_group(config, "chat", {"a", "b"});
  config.router.enforce_model_rate_limits = true;
  config.deployments[0].rpm = 5;
  const MetricsShard shard(config);
  LocalFleet fleet(config, 1);
  const MetricsShard* const shards[] = {&shard};
  const std::string text =
      render_metrics(config, shards, fleet, kNow, "1.2.3", SharedStateCounts{.connected = true});
  CHECK(has_line(text, R"(spillway_deployment_limits_shared{deployment="a",group="chat"} 0)"));
  CHECK(text.find(R"(limits_shared{deployment="b")") == std::string::npos);
}

TEST_CASE("names are escaped as label values") {
  Config config;
  add_group(config, "a\"b\\c\nd", {"x"});
  MetricsShard shard(config);
  shard.count_request(config, {.group = GroupIndex{0}});
  CHECK(has_line(page(config, shard),
                 R"(spillway_requests_total{group="a\"b\\c\nd",status="200"} 1)"));
}

TEST_CASE("a page can be made while a worker counts and reloads") {
  const Config first = two_groups();
  Config second = two_groups();
  add_group(second, "more", {"e"});
  MetricsShard shard(first);
  constexpr int kRequests = 20000;
  std::thread worker([&] {
    for (int i = 0; i < kRequests; ++i) {
      if (i % 100 == 0) shard.use(i % 200 == 0 ? first : second);
      shard.count_request(i % 2 == 0 ? first : second, {.group = GroupIndex{0}});
    }
  });
  for (int i = 0; i < 20; ++i) CHECK_FALSE(page(first, shard).empty());
  worker.join();
  CHECK(
      has_line(page(first, shard), R"(spillway_requests_total{group="chat",status="200"} 20000)"));
}

}  // namespace spillway::server
