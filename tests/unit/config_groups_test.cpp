#include <catch2/catch_test_macros.hpp>

#include "config_support.hpp"

namespace spillway::config {
namespace {

using testing::group;
using testing::has_warning;
using testing::loaded;
using testing::only_fault;

std::string models(std::initializer_list<std::string_view> lines) {
  std::string yaml = "model_list:\n";
  for (const std::string_view line : lines) yaml += "  - " + std::string(line) + "\n";
  return yaml;
}

constexpr std::string_view kA = "{model_name: a, litellm_params: {model: openai/a, api_key: k}}";
constexpr std::string_view kB = "{model_name: b, litellm_params: {model: openai/b, api_key: k}}";
constexpr std::string_view kC = "{model_name: c, litellm_params: {model: openai/c, api_key: k}}";
constexpr std::string_view kAny =
    "{model_name: 'openai/*', litellm_params: {model: 'openai/*', api_key: k}}";

std::vector<std::string> names(const Config& config, const std::vector<ModelMatch>& matches) {
  std::vector<std::string> out;
  for (const ModelMatch& match : matches) {
    std::string name = config.at(match.group).name;
    for (const std::string& capture : match.captures) name += "<" + capture + ">";
    out.push_back(name);
  }
  return out;
}
using Names = std::vector<std::string>;

TEST_CASE("Entries of one name are one group, in configuration order") {
  const auto result = loaded(models({kA, kB, kA}));
  CHECK(result.config.groups.size() == 2);
  CHECK(group(result.config, "a").deployments ==
        std::vector{DeploymentIndex{0}, DeploymentIndex{2}});
  CHECK(result.config.deployments[1].group == *result.config.exact_names.find("b"));
}

TEST_CASE("Weights are those of the first kind that any deployment of the group has") {
  struct Row {
    std::string_view first;
    std::string_view second;
    double weight_first;
    double weight_second;
    bool weighted_second;
  };
  constexpr Row kRows[] = {
      {"weight: 3", "weight: 1", 3, 1, true},     {"rpm: 10", "rpm: 30", 10, 30, true},
      {"tpm: 10", "tpm: 30", 10, 30, true},       {"rpm: 10, weight: 2", "rpm: 30", 2, 0, false},
      {"tpm: 5", "rpm: 30, tpm: 5", 0, 30, true}, {"order: 1", "order: 2", 1, 1, false},
      {"weight: 0", "weight: 0.5", 0, 0.5, true},
  };
  for (const Row& row : kRows) {
    INFO(row.first << " / " << row.second);
    const auto with = [](std::string_view params) {
      return "{model_name: m, litellm_params: {model: openai/x, api_key: k, " +
             std::string(params) + "}}";
    };
    const auto result = loaded(models({with(row.first), with(row.second)}));
    CHECK(result.config.deployments[0].weight == row.weight_first);
    CHECK(result.config.deployments[1].weight == row.weight_second);
    CHECK(result.config.deployments[1].weighted == row.weighted_second);
  }
}

TEST_CASE("rpm and tpm may stand at the entry's level") {
  const auto result = loaded(models(
      {"{model_name: m, rpm: 3, tpm: 20000, litellm_params: {model: openai/x, api_key: k}}"}));
  CHECK(result.config.deployments[0].rpm == 3u);
  CHECK(result.config.deployments[0].tpm == 20000u);
  CHECK(result.config.deployments[0].weight == 3);
}

TEST_CASE("Wildcards are tried from the most specific to the least") {
  const auto result = loaded(models({
      "{model_name: '*', litellm_params: {model: 'openai/*', api_key: k}}",
      "{model_name: 'a*c*', litellm_params: {model: 'openai/x', api_key: k}}",
      "{model_name: 'openai/*', litellm_params: {model: 'openai/*', api_key: k}}",
      "{model_name: 'ac*', litellm_params: {model: 'openai/x', api_key: k}}",
  }));
  Names order;
  for (const GroupIndex index : result.config.wildcards)
    order.push_back(result.config.at(index).name);
  CHECK(order == Names{"openai/*", "ac*", "a*c*", "*"});
  const auto match = find_model(result.config, "openai/gpt-9");
  REQUIRE(match.has_value());
  CHECK(substitute(result.config.deployments[2].model, match->captures) == "gpt-9");
}

TEST_CASE(
    "Without a model_list every provider with a key in the environment is offered as provider/*") {
  const auto result =
      loaded("", {{"GROQ_API_KEY", "g"}, {"OPENAI_API_KEY", "o"}, {"MISTRAL_API_KEY", ""}});
  Names offered;
  for (const ModelGroup& one : result.config.groups) offered.push_back(one.name);
  CHECK(offered == Names{"groq/*", "openai/*"});
  CHECK(result.config.groups[0].wildcard);
  CHECK(result.config.deployments[0].model == "*");
  CHECK(any_usable(result.config));
}

TEST_CASE("Servers without a key are offered only where the environment says where they are") {
  CHECK(loaded("").config.groups.empty());
  CHECK_FALSE(any_usable(loaded("").config));
  const auto result = loaded("", {{"OLLAMA_API_BASE", "http://box:11434"}});
  REQUIRE(result.config.groups.size() == 1);
  CHECK(result.config.groups[0].name == "ollama/*");
  CHECK(result.config.deployments[0].origin.host == "box");
}

TEST_CASE("Loading without a file offers the environment's providers") {
  const auto result = load(testing::with({{"XAI_API_KEY", "x"}}));
  REQUIRE(result.has_value());
  CHECK(result->config.groups.at(0).name == "xai/*");
}

TEST_CASE("The model * stands for every provider that the environment has a key for") {
  const auto result = loaded(models({"{model_name: '*', litellm_params: {model: '*'}}"}),
                             {{"OPENAI_API_KEY", "o"}, {"GROQ_API_KEY", "g"}});
  CHECK(result.config.at(find_model(result.config, "groq/x")->group).name == "groq/*");
  CHECK(result.config.at(find_model(result.config, "gpt-x")->group).name == "*");
}

TEST_CASE(
    "Fallbacks are resolved by group, in order, and defaults stand in for groups without their "
    "own") {
  const auto result =
      loaded(models({kA, kB, kC}) +
             "router_settings:\n  fallbacks: [{a: [c, b]}]\n  default_fallbacks: [c]\n"
             "  context_window_fallbacks: [{b: [c]}]\n  content_policy_fallbacks: [{c: [a]}]\n");
  const Config& config = result.config;
  CHECK(names(config, group(config, "a").fallbacks) == Names{"c", "b"});
  CHECK(names(config, group(config, "b").fallbacks) == Names{"c"});
  CHECK(group(config, "c").fallbacks.empty());
  CHECK_FALSE(group(config, "a").context_window_fallbacks.has_value());
  CHECK(names(config, *group(config, "b").context_window_fallbacks) == Names{"c"});
  CHECK(names(config, group(config, "c").content_policy_fallbacks) == Names{"a"});
}

TEST_CASE("router_settings beats litellm_settings where both have fallbacks") {
  const auto result = loaded(models({kA, kB, kC}) +
                             "litellm_settings: {fallbacks: [{a: [b]}], default_fallbacks: [b]}\n"
                             "router_settings: {fallbacks: [{a: [c]}]}\n");
  CHECK(names(result.config, group(result.config, "a").fallbacks) == Names{"c"});
  CHECK(names(result.config, group(result.config, "c").fallbacks) == Names{"b"});
}

TEST_CASE("The group * in fallbacks means every group") {
  const auto result = loaded(models({kA, kB}) + "router_settings: {fallbacks: [{'*': [b]}]}\n");
  CHECK(names(result.config, group(result.config, "a").fallbacks) == Names{"b"});
}

TEST_CASE(
    "A fallback may lead into a wildcard, to a deployment's own model name or to a provider's "
    "model") {
  const auto result =
      loaded(models({kA, kB, kAny}) +
                 "router_settings: {fallbacks: [{a: [openai/gpt-9, openai/b, groq/llama]}]}\n",
             {{"GROQ_API_KEY", "g"}});
  CHECK(names(result.config, group(result.config, "a").fallbacks) ==
        Names{"openai/*<gpt-9>", "openai/*<b>", "groq/llama"});
  const auto direct =
      loaded(models({kA, kB}) + "router_settings: {fallbacks: [{a: [openai/b]}]}\n");
  CHECK(names(direct.config, group(direct.config, "a").fallbacks) == Names{"b"});
}

TEST_CASE("A rule for one name out of a wildcard makes a group for that name alone") {
  const auto result = loaded(models({kAny, kB, kC}) +
                             "router_settings:\n  fallbacks: [{'openai/*': [c]}]\n"
                             "  context_window_fallbacks: [{openai/gpt-5: [openai/gpt-6]}]\n");
  const Config& config = result.config;
  const ModelGroup& single = group(config, "openai/gpt-5");
  REQUIRE(single.deployments.size() == 1);
  CHECK(config.at(single.deployments[0]).model == "gpt-5");
  CHECK(config.at(single.deployments[0]).id != config.deployments[0].id);
  CHECK(names(config, *single.context_window_fallbacks) == Names{"openai/*<gpt-6>"});
  CHECK(names(config, single.fallbacks) == Names{"c"});
  CHECK_FALSE(group(config, "openai/*").context_window_fallbacks.has_value());
}

TEST_CASE("A rule's name matches a group that differs only by its provider prefix") {
  const auto result =
      loaded(models({"{model_name: vendor/a, litellm_params: {model: openai/a, api_key: k}}", kB}) +
             "router_settings: {fallbacks: [{a: [b]}]}\n");
  CHECK(names(result.config, group(result.config, "vendor/a").fallbacks) == Names{"b"});
}

TEST_CASE("A fallback to a group that does not exist is a fault with the nearest name") {
  const std::string yaml =
      "model_list: [{model_name: gpt-large, litellm_params: {model: openai/x, api_key: k}}]\n"
      "router_settings:\n  fallbacks: [{gpt-large: [gpt-larg]}]\n";
  CHECK(only_fault(yaml) ==
        "config.yaml:3:28: router_settings.fallbacks[0].gpt-large[0]: there is no model group "
        "\"gpt-larg\"; "
        "did you mean \"gpt-large\"?");
}

TEST_CASE("A rule for a group that does not exist is a warning, as it can do no harm") {
  CHECK(has_warning(loaded(models({kA}) + "router_settings: {fallbacks: [{zz: [a]}]}\n"),
                    "there is no model group \"zz\""));
}

TEST_CASE("Fallbacks of another shape are faults") {
  for (const std::string_view wrong :
       {"{a: [b]}", "[a]", "[{a: [b], b: [a]}]", "[{}]", "[{a: [{x: y}]}]", "x"}) {
    INFO(wrong);
    CHECK_FALSE(testing::faults(models({kA, kB}) +
                                "router_settings: {fallbacks: " + std::string(wrong) + "}\n")
                    .empty());
  }
}

TEST_CASE("Aliases lead to groups, visibly or hidden, and never to nothing") {
  const auto result =
      loaded(models({kA}) +
             "router_settings:\n  model_group_alias: {x: a, y: {model: a, hidden: true}}\n");
  CHECK(result.config.aliases.at("x") == "a");
  CHECK(result.config.aliases.at("y") == "a");
  CHECK(result.config.hidden_aliases == Names{"y"});
  CHECK(find_model(result.config, "y")->group == *result.config.exact_names.find("a"));
  CHECK(
      only_fault(models({kA}) + "router_settings: {model_group_alias: {x: zz}}\n").find("\"zz\"") !=
      std::string::npos);
  CHECK(only_fault(models({kA}) + "router_settings: {model_group_alias: {x: a, z: x}}\n")
            .find("\"x\"") != std::string::npos);
}

TEST_CASE("Fallbacks may be given by alias, on both sides") {
  const auto result =
      loaded(models({kA, kB}) +
             "router_settings: {model_group_alias: {x: a, y: b}, fallbacks: [{x: [y]}]}\n");
  CHECK(names(result.config, group(result.config, "a").fallbacks) == Names{"b"});
}

TEST_CASE("The table shows every deployment with its state and no secrets") {
  const auto result = loaded(models({
      "{model_name: a, litellm_params: {model: openai/x, api_key: sk-hunter2}}",
      "{model_name: a, litellm_params: {model: groq/y}}",
  }));
  const std::string table = describe(result.config);
  CHECK(table.find("https://api.openai.com  ready\n") != std::string::npos);
  CHECK(table.find("left out: GROQ_API_KEY is not set\n") != std::string::npos);
  CHECK(table.find("hunter2") == std::string::npos);
  CHECK(std::count(table.begin(), table.end(), '\n') == 3);
}

}  // namespace
}  // namespace spillway::config
