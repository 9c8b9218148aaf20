// Hedging: when a second deployment is asked because the first is slow, who wins, and what is told
// of the one that lost.
#include <catch2/generators/catch_generators.hpp>
#include <vector>

#include "attempt_scene.hpp"

namespace spillway {
namespace {

using attempt::Leg;
using testing::add_deployment;
using testing::add_group;
using testing::failed_with;
using testing::group_of;
using testing::Scene;
using testing::with_fallback;

Config hedged(Config config, std::optional<Duration> after = milliseconds(500)) {
  config.router.hedge = HedgeRules{.after = after, .share = 1.0};
  return config;
}

// The hedge's call is the action from here on.
std::uint32_t hedge(Scene& scene) {
  const attempt::Call first = scene.call();
  REQUIRE(first.hedge_at);
  scene.now = *first.hedge_at;
  scene.report(attempt::HedgeDue{});
  REQUIRE(scene.calling());
  REQUIRE(scene.call().leg == Leg::hedge);
  return scene.asked();
}

bool goes_on(const Scene& scene) {
  return std::holds_alternative<attempt::Continue>(scene.action);
}

TEST_CASE("a call is hedged after the configured delay, and never where that is off") {
  Scene plain(group_of(2));
  plain.begin();
  CHECK_FALSE(plain.call().hedge_at);
  plain.report(attempt::HedgeDue{});
  CHECK(goes_on(plain));

  Scene scene(hedged(group_of(2)));
  scene.begin();
  CHECK(scene.call().hedge_at == scene.now + milliseconds(500));
  const std::uint32_t first = scene.asked();
  CHECK(hedge(scene) != first);
  CHECK(scene.in_flight() == 2);
  CHECK(scene.loop->attempts() == 2);
}

TEST_CASE("the first content wins, and the other call says nothing about its deployment") {
  const Leg winner = GENERATE(Leg::first, Leg::hedge);
  Scene scene(hedged(group_of(2)));
  scene.begin();
  const std::uint32_t first = scene.asked();
  const std::uint32_t second = hedge(scene);
  scene.report(attempt::ContentStarted{winner});
  CHECK(scene.in_flight() == 1);
  REQUIRE(scene.loop->records().size() == 1);
  const AttemptRecord& lost = scene.loop->records()[0];
  CHECK(lost.outrun);
  CHECK(lost.deployment.value == (winner == Leg::first ? second : first));
  CHECK_FALSE(lost.error_class);
  CHECK(lost.change == HealthChange::none);
  scene.report(attempt::Completed{winner});
  CHECK(scene.finished());
  CHECK(scene.in_flight() == 0);
  CHECK(scene.loop->attempts() == 2);
  CHECK_FALSE(scene.loop->records()[1].outrun);
}

TEST_CASE("a complete plain answer wins as content does") {
  Scene scene(hedged(group_of(2)));
  scene.begin();
  hedge(scene);
  scene.report(attempt::Completed{Leg::hedge});
  CHECK(scene.finished());
  CHECK(scene.in_flight() == 0);
  CHECK(scene.loop->records()[0].outrun);
  CHECK(scene.loop->records()[0].leg == Leg::first);
  CHECK(scene.loop->records()[1].leg == Leg::hedge);
}

TEST_CASE("while one leg is under way the failure of the other is not the end") {
  const Leg failing = GENERATE(Leg::first, Leg::hedge);
  const ErrorClass error_class = GENERATE(ErrorClass::unavailable, ErrorClass::invalid_request);
  Scene scene(hedged(group_of(2)));
  scene.begin();
  hedge(scene);
  scene.report(attempt::Failed{failed_with(error_class), false, failing});
  CHECK(goes_on(scene));
  CHECK(scene.in_flight() == 1);
  scene.report(attempt::Completed{failing == Leg::first ? Leg::hedge : Leg::first});
  CHECK(scene.finished());
}

TEST_CASE("once both legs have failed the request goes on as ever") {
  Scene scene(hedged(group_of(3)));
  scene.begin();
  const std::uint32_t first = scene.asked();
  const std::uint32_t second = hedge(scene);
  scene.report(attempt::Failed{failed_with(ErrorClass::unavailable), false, Leg::first});
  scene.report(attempt::Failed{failed_with(ErrorClass::unavailable), false, Leg::hedge});
  REQUIRE(scene.calling());
  CHECK(scene.call().leg == Leg::first);
  CHECK(scene.asked() != first);
  CHECK(scene.asked() != second);
  CHECK_FALSE(scene.call().hedge_at);  // one hedge a request
}

TEST_CASE("what would happen everywhere ends the request once the other leg has failed too") {
  Scene scene(hedged(group_of(3)));
  scene.begin();
  hedge(scene);
  scene.report(attempt::Failed{failed_with(ErrorClass::invalid_request), false, Leg::hedge});
  scene.report(attempt::Failed{failed_with(ErrorClass::unavailable), false, Leg::first});
  REQUIRE(scene.gave_up());
  CHECK(scene.end().failure.error_class == ErrorClass::invalid_request);
}

TEST_CASE("in a group of one the hedge goes to the fallback, which answers as itself") {
  Scene scene(hedged(with_fallback(1)));
  scene.begin();
  CHECK(hedge(scene) == 1);
  CHECK(scene.loop->fallbacks() == 0);
  scene.report(attempt::ContentStarted{Leg::hedge});
  CHECK(scene.loop->fallbacks() == 1);
  CHECK(scene.loop->group() == GroupIndex{1});
  scene.report(attempt::Completed{Leg::hedge});
  CHECK(scene.finished());
}

TEST_CASE("a hedge in the fallback that fails is not asked again when the fallback's turn comes") {
  Config config = hedged(with_fallback(1));
  add_deployment(config, GroupIndex{1});
  Scene scene(std::move(config));
  scene.begin();
  const std::uint32_t second = hedge(scene);
  scene.report(attempt::Failed{failed_with(ErrorClass::unavailable), false, Leg::hedge});
  CHECK(goes_on(scene));
  CHECK(scene.loop->fallbacks() == 0);
  scene.report(attempt::Failed{failed_with(ErrorClass::timeout), false, Leg::first});
  REQUIRE(scene.calling());
  CHECK(scene.loop->fallbacks() == 1);
  CHECK(scene.asked() != 0);
  CHECK(scene.asked() != second);
}

TEST_CASE("the fallbacks after one that was asked as a hedge are still to be tried") {
  Config config = hedged(with_fallback(1));
  const GroupIndex last = add_group(config, "last");
  add_deployment(config, last);
  config.groups[0].fallbacks.push_back({last, {}});
  Scene scene(std::move(config));
  scene.begin();
  CHECK(hedge(scene) == 1);
  scene.report(attempt::Failed{failed_with(ErrorClass::timeout), false, Leg::hedge});
  scene.report(attempt::Failed{failed_with(ErrorClass::timeout), false, Leg::first});
  REQUIRE(scene.calling());
  CHECK(scene.loop->group() == last);
}

TEST_CASE("a model that was too small is not asked in the fallback that served for the hedge") {
  Config config = hedged(with_fallback(1));
  const DeploymentIndex same = add_deployment(config, GroupIndex{1});
  config.deployments[same.value].model = config.deployments[0].model;
  config.deployments[1].order = 1;  // asked as the hedge
  Scene scene(std::move(config));
  scene.begin();
  CHECK(hedge(scene) == 1);
  scene.report(attempt::Failed{failed_with(ErrorClass::timeout), false, Leg::hedge});
  scene.fail(ErrorClass::context_window_exceeded);
  REQUIRE(scene.gave_up());
  CHECK(scene.end().failure.error_class == ErrorClass::context_window_exceeded);
  CHECK(scene.loop->attempts() == 2);
}

TEST_CASE("rejected content goes only where it may, whoever was asked as a hedge meanwhile") {
  Scene scene(hedged(with_fallback(1)));
  scene.begin();
  hedge(scene);
  scene.report(
      attempt::Failed{failed_with(ErrorClass::content_policy_violation), false, Leg::first});
  CHECK(goes_on(scene));
  scene.report(attempt::Failed{failed_with(ErrorClass::unavailable), false, Leg::hedge});
  REQUIRE(scene.gave_up());
  CHECK(scene.end().failure.error_class == ErrorClass::content_policy_violation);
}

TEST_CASE("a hedge goes where the failures met so far allow, whatever was looked at before") {
  const bool content = GENERATE(true, false);
  Config config = hedged(with_fallback(1));
  const std::vector<ModelMatch> chosen = {{add_group(config, "c"), {}},
                                          {add_group(config, "d"), {}}};
  for (const ModelMatch& model : chosen) add_deployment(config, model.group);
  if (content) config.groups[0].content_policy_fallbacks = chosen;
  if (!content) config.groups[0].context_window_fallbacks = chosen;
  Scene scene(std::move(config));
  scene.bench(1, ErrorClass::rate_limit, seconds(2));
  scene.begin();
  scene.now = *scene.call().hedge_at;
  scene.report(attempt::HedgeDue{});
  REQUIRE(goes_on(scene));
  scene.now += seconds(5);
  scene.fail(content ? ErrorClass::content_policy_violation : ErrorClass::context_window_exceeded);
  REQUIRE(scene.asked() == 2);
  CHECK(hedge(scene) == 3);
}

TEST_CASE("a fallback that was considered for a hedge is passed by where content was rejected") {
  Config config = hedged(with_fallback(1));
  config.router.hedge->share = 0.0;  // considered, but refused
  const GroupIndex chosen = add_group(config, "chosen for such content");
  add_deployment(config, chosen);
  config.groups[0].content_policy_fallbacks = {{chosen, {}}};
  Scene scene(std::move(config));
  scene.begin();
  scene.report(attempt::HedgeDue{});
  REQUIRE(goes_on(scene));
  scene.fail(ErrorClass::content_policy_violation);
  REQUIRE(scene.calling());
  CHECK(scene.loop->group() == chosen);
}

TEST_CASE("nobody is asked when nobody else can be") {
  Scene scene(hedged(group_of(1)));
  scene.begin();
  scene.now = *scene.call().hedge_at;
  scene.report(attempt::HedgeDue{});
  CHECK(goes_on(scene));
  CHECK(scene.in_flight() == 1);
}

TEST_CASE("a hedge that the budget refuses is not made") {
  Config config = hedged(group_of(2));
  config.router.hedge->share = 0.5;
  Scene scene(std::move(config));
  const auto hedges = [&scene] {
    scene.begin();
    scene.now = *scene.call().hedge_at;
    scene.report(attempt::HedgeDue{});
    const bool made = scene.calling();
    scene.report(attempt::Completed{});
    return made;
  };
  CHECK_FALSE(hedges());
  CHECK(hedges());
  CHECK_FALSE(hedges());
  CHECK(hedges());
}

TEST_CASE("hedges and other retries together stay within the budget of the group") {
  Config config = hedged(group_of(2));
  config.router.retry_budget_share = 0.0;
  Scene scene(std::move(config));
  std::vector<std::unique_ptr<AttemptLoop>> requests;
  unsigned hedges = 0;
  for (int i = 0; i < 5; ++i) {
    scene.begin();
    scene.report(attempt::HedgeDue{});
    hedges += scene.calling() ? 1 : 0;
    requests.push_back(std::move(scene.loop));
  }
  CHECK(hedges == 3);
  requests.clear();
  CHECK(scene.in_flight() == 0);
}

TEST_CASE("the head of a hedge gives its share of the budget back") {
  Config config = hedged(group_of(2));
  config.router.retry_budget_share = 0.0;
  Scene scene(std::move(config));
  std::vector<std::unique_ptr<AttemptLoop>> requests;
  for (int i = 0; i < 5; ++i) {
    scene.begin();
    hedge(scene);
    scene.report(attempt::HeadArrived{Leg::hedge});
    requests.push_back(std::move(scene.loop));
  }
  CHECK(scene.in_flight() == 10);
}

TEST_CASE("content that came in time is not hedged") {
  Scene scene(hedged(group_of(2)));
  scene.begin();
  scene.report(attempt::ContentStarted{});
  scene.report(attempt::HedgeDue{});
  CHECK(goes_on(scene));
  CHECK(scene.in_flight() == 1);
}

TEST_CASE("a stream that is continued elsewhere is not hedged") {
  Scene scene(hedged(group_of(2)));
  scene.begin();
  scene.report(attempt::ContentStarted{});
  scene.report(attempt::Failed{failed_with(ErrorClass::connection), true});
  REQUIRE(scene.calling());
  CHECK(scene.call().resume == Resume::afresh);
  CHECK_FALSE(scene.call().hedge_at);
}

TEST_CASE("a stream that the hedge began and broke is continued as any other") {
  Config config = hedged(group_of(3));
  for (std::size_t i = 0; i < 3; ++i) config.deployments[i].order = static_cast<int>(i);
  Scene scene(std::move(config));
  scene.begin();
  CHECK(scene.asked() == 0);
  CHECK(hedge(scene) == 1);
  scene.report(attempt::ContentStarted{Leg::hedge});
  scene.report(attempt::Failed{failed_with(ErrorClass::connection), true, Leg::hedge});
  REQUIRE(scene.calling());
  CHECK(scene.call().leg == Leg::first);
  CHECK(scene.call().resume == Resume::afresh);
  CHECK(scene.asked() == 2);  // not the one that was too slow, whatever the order
  scene.report(attempt::Failed{failed_with(ErrorClass::connection), true});
  REQUIRE(scene.calling());
  CHECK(scene.asked() == 0);  // slow, but nobody else is left
}

TEST_CASE("a deployment asked for by its id is not hedged") {
  Scene scene(hedged(group_of(2)));
  scene.begin({}, {GroupIndex{0}, {}, DeploymentIndex{1}});
  CHECK_FALSE(scene.call().hedge_at);
}

TEST_CASE("a stale connection of either leg is replaced on that leg") {
  Scene scene(hedged(group_of(2)));
  scene.begin();
  const std::uint32_t first = scene.asked();
  const std::uint32_t second = hedge(scene);
  scene.report(attempt::StaleConnection{Leg::first});
  REQUIRE(scene.calling());
  CHECK(scene.asked() == first);
  CHECK(scene.call().connection == attempt::Call::Connection::fresh);
  scene.report(attempt::StaleConnection{Leg::hedge});
  CHECK(scene.asked() == second);
  CHECK(scene.call().leg == Leg::hedge);
}

TEST_CASE("by the deployment's own p95, streams and whole answers apart, once enough are known") {
  Scene scene(hedged(group_of(2), std::nullopt));
  const auto answer = [&scene](bool streaming, Duration time) {
    RequestTraits traits;
    traits.streaming = streaming;
    scene.begin(traits, {GroupIndex{0}, {}, DeploymentIndex{0}});
    scene.now += time;
    scene.report(attempt::Completed{});
  };
  for (int i = 0; i < 20; ++i) answer(true, milliseconds(100 + i));
  for (int i = 0; i < 19; ++i) answer(false, seconds(3));
  scene.bench(1, ErrorClass::rate_limit, seconds(60));
  RequestTraits stream;
  stream.streaming = true;
  scene.begin(stream);
  CHECK(scene.call().hedge_at == scene.now + milliseconds(118));
  scene.report(attempt::Completed{});
  scene.begin();
  CHECK_FALSE(scene.call().hedge_at);
}

TEST_CASE("a call that its deadline ends first is not hedged") {
  Config config = hedged(group_of(2), seconds(10));
  config.router.timeout = seconds(10);
  Scene scene(std::move(config));
  scene.begin();
  CHECK_FALSE(scene.call().hedge_at);
}

TEST_CASE("the first leg that was outrun has shown how slow it is, the hedge has not") {
  Scene scene(hedged(group_of(2)));
  scene.begin();
  const DeploymentIndex slow = scene.call().deployment;
  const DeploymentIndex quick{hedge(scene)};
  scene.report(attempt::Completed{Leg::hedge});
  CHECK(scene.fleet.load(slow, Delivery::whole, scene.now).peak == milliseconds(500));

  Scene other(hedged(group_of(2)));
  other.begin();
  const DeploymentIndex late{hedge(other)};
  other.report(attempt::Completed{Leg::first});
  CHECK_FALSE(other.fleet.load(late, Delivery::whole, other.now).peak);
  CHECK(quick != slow);
}

TEST_CASE("a probe that was outrun leaves its place to another") {
  Scene scene(hedged(group_of(2)));
  scene.bench(0, ErrorClass::rate_limit, seconds(1));
  scene.bench(1, ErrorClass::rate_limit, seconds(600));
  scene.now += seconds(2);
  scene.begin();
  REQUIRE(scene.asked() == 0);
  scene.now += seconds(700);
  scene.report(attempt::HedgeDue{});
  REQUIRE(scene.calling());
  scene.report(attempt::Completed{Leg::hedge});
  CHECK(scene.probe(0).probe);
}

TEST_CASE("calls that are under way when a request is abandoned end once, and bench nobody") {
  Scene scene(hedged(group_of(2)));
  scene.begin();
  const std::uint32_t first = scene.asked();
  const std::uint32_t second = hedge(scene);
  scene.loop->abandon(ErrorClass::client_closed, scene.now);
  CHECK(scene.in_flight() == 0);
  const auto records = scene.loop->records();
  REQUIRE(records.size() == 2);
  CHECK(records[0].deployment.value == first);
  CHECK(records[1].deployment.value == second);
  for (const AttemptRecord& record : records) {
    CHECK(record.error_class == ErrorClass::client_closed);
    CHECK(record.change == HealthChange::none);
  }
  CHECK(scene.loop->attempts() == 2);
  scene.report(attempt::Failed{testing::failed_with(ErrorClass::internal)});
  CHECK(goes_on(scene));
  CHECK(scene.loop->records().size() == 2);
}

}  // namespace
}  // namespace spillway
