#include "server/state_json.hpp"

#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace spillway::server {
namespace {

using Json = nlohmann::json;
const TimePoint kNow{seconds(1000)};

// chat: a, b; broken: none usable; openai/*: w
Config sample_config() {
  Config config;
  const auto add = [&config](std::string group, std::string id, std::string unusable) {
    if (config.groups.empty() || config.groups.back().name != group) {
      config.groups.emplace_back().name = group;
    }
    const GroupIndex group_index{static_cast<std::uint32_t>(config.groups.size() - 1)};
    const DeploymentIndex index{static_cast<std::uint32_t>(config.deployments.size())};
    Deployment& deployment = config.deployments.emplace_back();
    deployment.id = std::move(id);
    deployment.group = group_index;
    deployment.provider = "groq";
    deployment.model = "llama";
    deployment.origin.host = "api.example.com";
    deployment.headers.push_back({"authorization", Secret("Bearer sk-secret")});
    deployment.unusable = std::move(unusable);
    ModelGroup& owner = config.groups.back();
    (deployment.usable() ? owner.deployments : owner.left_out).push_back(index);
    owner.wildcard = owner.name.find('*') != std::string::npos;
    if (owner.wildcard) {
      config.wildcards = {group_index};
    } else {
      config.exact_names.emplace(owner.name, group_index);
    }
  };
  add("chat", "a", "");
  add("chat", "b", "");
  add("broken", "x", "GROQ_API_KEY is not set");
  add("openai/*", "w", "");
  config.groups[0].fallbacks.push_back({GroupIndex{2}, {"gpt"}});
  config.aliases = {{"gpt-4", "chat"}, {"secret-name", "chat"}, {"lost", "gone"}};
  config.hidden_aliases = {"secret-name"};
  config.keys.push_back({"master", Secret("sk-master")});
  return config;
}

void fail(Fleet& fleet, DeploymentIndex index, ErrorClass error_class,
          std::optional<RetryHint> hint) {
  const auto permit = fleet.begin(index, kNow, DeploymentHealth::Force::yes);
  Failure failure;
  failure.error_class = error_class;
  failure.hint = hint;
  fleet.failed(*permit, failure, Benching::allowed, kNow);
  fleet.end(*permit);
}

std::vector<std::string> ids(const Json& models) {
  std::vector<std::string> result;
  for (const Json& model : models["data"]) result.push_back(model["id"]);
  return result;
}

}  // namespace

TEST_CASE("the router's state shows a deployment's bench, its cause and its end") {
  const Config config = sample_config();
  LocalFleet fleet(config, 1);
  fail(fleet, DeploymentIndex{0}, ErrorClass::rate_limit,
       RetryHint{seconds(6), HintSource::message});
  REQUIRE(fleet.begin(DeploymentIndex{1}, kNow, DeploymentHealth::Force::no));

  const Json state = Json::parse(router_state_json(config, fleet, kNow + seconds(1)));
  const Json& chat = state["groups"][0];
  CHECK(chat["name"] == "chat");
  CHECK(chat["fallbacks"] == Json::array({"openai/*"}));
  const Json& cooling = chat["deployments"][0];
  CHECK(cooling["id"] == "a");
  CHECK(cooling["state"] == "cooling");
  CHECK(cooling["callable"] == false);
  CHECK(cooling["cause"] == "rate_limit");
  CHECK(cooling["named_by_upstream"] == true);
  CHECK(cooling["cooldown_remaining_ms"] >= 5000);
  CHECK(cooling["cooldown_remaining_ms"] <= 5400);
  const Json& closed = chat["deployments"][1];
  CHECK(closed["state"] == "closed");
  CHECK(closed["cause"].is_null());
  CHECK(closed["cooldown_remaining_ms"] == 0);
  CHECK(closed["in_flight"] == 1);
}

TEST_CASE("the router's state shows what the breaker has seen in its window") {
  const Config config = sample_config();
  LocalFleet fleet(config, 1);
  const auto good = fleet.begin(DeploymentIndex{0}, kNow, DeploymentHealth::Force::no);
  fleet.succeeded(*good, kNow);
  fail(fleet, DeploymentIndex{0}, ErrorClass::internal, std::nullopt);
  fail(fleet, DeploymentIndex{0}, ErrorClass::internal, std::nullopt);
  const Json state = Json::parse(router_state_json(config, fleet, kNow));
  CHECK(state["groups"][0]["deployments"][0]["window"] ==
        Json{{"seconds", 60}, {"successes", 1}, {"failures", 2}, {"consecutive_failures", 2}});
}

TEST_CASE("a bench that is over is half-open with nothing remaining") {
  const Config config = sample_config();
  LocalFleet fleet(config, 1);
  fail(fleet, DeploymentIndex{0}, ErrorClass::rate_limit, std::nullopt);
  const Json state = Json::parse(router_state_json(config, fleet, kNow + seconds(60)));
  const Json& deployment = state["groups"][0]["deployments"][0];
  CHECK(deployment["state"] == "half_open");
  CHECK(deployment["callable"] == true);
  CHECK(deployment["cooldown_remaining_ms"] == 0);
}

TEST_CASE("deployments that cannot be used are shown with their reason") {
  const Config config = sample_config();
  LocalFleet fleet(config, 1);
  const Json state = Json::parse(router_state_json(config, fleet, kNow));
  const Json& broken = state["groups"][1];
  CHECK(broken["deployments"].empty());
  CHECK(broken["left_out"][0]["id"] == "x");
  CHECK(broken["left_out"][0]["reason"] == "GROQ_API_KEY is not set");
}

TEST_CASE("health tells closed deployments from benched and unusable ones") {
  const Config config = sample_config();
  LocalFleet fleet(config, 1);
  fail(fleet, DeploymentIndex{0}, ErrorClass::quota_exhausted, std::nullopt);
  const Json health = Json::parse(health_json(config, fleet, kNow));
  CHECK(health["healthy_count"] == 2);
  CHECK(health["unhealthy_count"] == 2);
  REQUIRE(health["healthy_endpoints"].size() == 2);
  CHECK(health["healthy_endpoints"][0]["model_id"] == "b");
  CHECK(health["healthy_endpoints"][0]["model"] == "groq/llama");
  CHECK(health["healthy_endpoints"][0]["api_base"] == "https://api.example.com:443");
  REQUIRE(health["unhealthy_endpoints"].size() == 2);
  CHECK(health["unhealthy_endpoints"][0]["model_id"] == "a");
  CHECK(health["unhealthy_endpoints"][0]["error"] == "quota_exhausted");
  CHECK(health["unhealthy_endpoints"][1]["state"] == "left_out");
  CHECK(health["unhealthy_endpoints"][1]["error"] == "GROQ_API_KEY is not set");
}

TEST_CASE("models lists usable groups and visible aliases, wildcards by their pattern") {
  const Config config = sample_config();
  const Json models = Json::parse(models_json(config));
  CHECK(models["object"] == "list");
  CHECK(ids(models) == std::vector<std::string>{"chat", "openai/*", "gpt-4"});
  CHECK(models["data"][0] ==
        Json{{"id", "chat"}, {"object", "model"}, {"created", 1677610602}, {"owned_by", "openai"}});
}

TEST_CASE("a name that is both alias and group is listed once") {
  Config config = sample_config();
  config.aliases = {{"chat", "openai/gpt"}};
  CHECK(ids(Json::parse(models_json(config))) == std::vector<std::string>{"openai/*", "chat"});
}

TEST_CASE("a configuration without models gives empty lists") {
  const Config config;
  LocalFleet fleet(config, 1);
  CHECK(models_json(config) == R"({"data":[],"object":"list"})");
  CHECK(router_state_json(config, fleet, kNow) == R"({"groups":[]})");
  CHECK(Json::parse(health_json(config, fleet, kNow))["healthy_count"] == 0);
}

TEST_CASE("a single model is found by whatever name would be answered") {
  const Config config = sample_config();
  for (const std::string_view id : {"chat", "gpt-4", "secret-name", "openai/*", "openai/o3"}) {
    CAPTURE(id);
    const auto model = model_json(config, id);
    REQUIRE(model);
    CHECK(Json::parse(*model)["id"] == id);
    CHECK(Json::parse(*model)["object"] == "model");
  }
  for (const std::string_view id : {"broken", "gone", "lost", "", "*"}) {
    CAPTURE(id);
    CHECK_FALSE(model_json(config, id));
  }
}

TEST_CASE("no page shows a key") {
  const Config config = sample_config();
  LocalFleet fleet(config, 1);
  for (const std::string& page : {router_state_json(config, fleet, kNow),
                                  health_json(config, fleet, kNow), models_json(config)}) {
    CHECK(page.find("sk-") == std::string::npos);
    CHECK(Json::accept(page));
  }
}

TEST_CASE("an operator's name that is not UTF-8 does not break a page") {
  Config config = sample_config();
  config.groups[0].name = "chat\xff";
  LocalFleet fleet(config, 1);
  CHECK(Json::accept(router_state_json(config, fleet, kNow)));
  CHECK(Json::accept(models_json(config)));
}

}  // namespace spillway::server
