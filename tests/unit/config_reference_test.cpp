// References to the environment in whole configurations: malformed ones, and values that are wrong.
#include <catch2/catch_test_macros.hpp>

#include "config_support.hpp"

namespace spillway::config {
namespace {

using testing::entry;
using testing::has_warning;
using testing::loaded;
using testing::only_deployment;
using testing::only_fault;

const std::string kModel = entry({"model: openai/x", "api_key: k"});

TEST_CASE("A malformed reference in a setting is a fault at its place") {
  CHECK(only_fault(entry({"model: openai/x", "api_key: \"${KEY:-k}\""}))
            .starts_with("config.yaml:5:16: model_list[0].litellm_params.api_key: holds a ${...} "
                         "with something behind the name"));
  CHECK(only_fault(kModel + "spillway: {listen: \"${HOST:4000\"}\n")
            .starts_with("config.yaml:6:20: spillway.listen: holds a ${ without its }"));
  CHECK(only_fault(kModel + "general_settings: {master_key: \"${}\"}\n")
            .starts_with("config.yaml:6:32: general_settings.master_key: holds ${}, which names no "
                         "variable; write $${ where ${ is meant as it stands"));
}

TEST_CASE("A malformed reference in a free text is taken as it stands, with a warning") {
  const auto result = loaded(entry({"model: openai/x", "api_key: k", "user: \"${a.b}\"",
                                    "extra_headers: {x-a: \"${}\"}"}) +
                             "environment_variables: {A: \"a${b\"}\nrouter_settings: {redis_host: "
                             "h, redis_password: \"${\"}\n");
  CHECK(has_warning(result, "config.yaml:6:13: model_list[0].litellm_params.user: holds a ${...}"));
  CHECK(has_warning(result, "extra_headers.x-a: holds ${}"));
  CHECK(has_warning(result, "environment_variables.A: holds a ${ without its }"));
  CHECK(has_warning(result, "router_settings.redis_password: holds a ${ without its }"));
  const Deployment& deployment = only_deployment(result);
  CHECK(testing::header(deployment, "x-a") == "${}");
  CHECK(deployment.body.defaults.front() ==
        std::pair<std::string, std::string>("user", "\"${a.b}\""));
  CHECK(result.config.redis->password.reveal() == "${");
}

TEST_CASE("What is meant as it stands is escaped") {
  const auto result = loaded(entry({"model: openai/x", "api_key: \"$${KEY:-k}\""}));
  CHECK(result.warnings.empty());
  CHECK(testing::header(only_deployment(result), "authorization") == "Bearer ${KEY:-k}");
}

TEST_CASE("The fault of a key that cannot be used names its variable and does not show it") {
  const Environment environment{
      {"BAD", "sk canary"}, {"SAME", "sk-canary"}, {"LINES", "canary\nX"}};
  const auto fault = [&](const std::string& yaml) {
    const std::string told = only_fault(yaml, environment);
    CHECK(told.find("canary") == std::string::npos);
    return told;
  };
  CHECK(fault(kModel + "general_settings: {master_key: os.environ/BAD}\n")
            .ends_with("not empty; the value comes from BAD"));
  CHECK(fault(kModel + "spillway: {keys: [{name: a, key: \"sk-${BAD}\"}]}\n")
            .ends_with("; the value comes from BAD"));
  CHECK(
      fault(kModel + "spillway: {keys: [{name: a, key: sk-canary}, {name: b, key: \"${SAME}\"}]}\n")
          .ends_with("; the value comes from SAME"));
  CHECK(fault(entry({"model: openai/x", "api_key: k", "extra_headers: {x-a: os.environ/LINES}"}))
            .ends_with("; the value comes from LINES"));
  CHECK(fault(entry({"model: openai/x", "api_key: k", "api_base: os.environ/BAD"}))
            .ends_with("; the value comes from BAD"));
  CHECK(fault(kModel + "router_settings: {redis_url: os.environ/BAD}\n")
            .ends_with("; the value comes from BAD"));
}

TEST_CASE("A deployment that is left out for its key says where the key comes from") {
  const auto unusable = [](std::string_view key) {
    const auto result =
        loaded(entry({"model: openai/x", key}), {{"OPENAI_API_KEY", "a\nb"}, {"KEY", "a\nb"}});
    return only_deployment(result).unusable;
  };
  const std::string why = "its API key holds characters that a header cannot carry";
  CHECK(unusable("api_key: os.environ/KEY") == why + "; the value comes from KEY");
  CHECK(unusable("") == why + "; the value comes from OPENAI_API_KEY");
  CHECK(unusable("api_key: \"a\\nb\"") == why);
}

TEST_CASE("A bad master key in a file is told by the variable that names the file") {
  const testing::Directory directory;
  const std::string file = directory.write("key", "two words").string();
  CHECK(only_fault(kModel, {{"SPILLWAY_MASTER_KEY_FILE", file}})
            .starts_with("SPILLWAY_MASTER_KEY_FILE: must be a key"));
}

}  // namespace
}  // namespace spillway::config
