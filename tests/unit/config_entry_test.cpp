#include <catch2/catch_test_macros.hpp>

#include "config_support.hpp"

namespace spillway::config {
namespace {

using testing::entry;
using testing::faults;
using testing::has_warning;
using testing::header;
using testing::loaded;
using testing::only_deployment;
using testing::only_fault;

TEST_CASE("Headers of the provider and of the entry are added; the entry's win") {
  const auto result =
      loaded(entry({"model: sarvam/x", "api_key: k",
                    "extra_headers: {X-Team: os.environ/TEAM, Authorization: Basic z}"}),
             {{"TEAM", "blue"}});
  const Deployment& deployment = only_deployment(result);
  CHECK(header(deployment, "api-subscription-key") == "k");
  CHECK(header(deployment, "x-team") == "blue");
  CHECK(header(deployment, "authorization") == "Basic z");
}

TEST_CASE("Headers that cannot be sent are faults, and their values are not shown") {
  for (const std::string_view line :
       {"extra_headers: {'a b': hunter2}", "extra_headers: {x: \"hunter2\\r\\nHost: evil\"}",
        "headers: {Host: hunter2}", "headers: {Content-Length: hunter2}",
        "extra_headers: {x: [hunter2]}", "extra_headers: hunter2"}) {
    INFO(line);
    const std::string fault = only_fault(entry({"model: openai/x", "api_key: k", line}));
    CHECK(fault.find("hunter2") == std::string::npos);
    CHECK(fault.starts_with("config.yaml:6:"));
  }
}

TEST_CASE("A list of organizations makes a deployment for each") {
  const auto result =
      loaded(entry({"model: gpt-4o", "api_key: k", "organization: [org-a, org-b]"}));
  REQUIRE(result.config.deployments.size() == 2);
  CHECK(header(result.config.deployments[0], "openai-organization") == "org-a");
  CHECK(header(result.config.deployments[1], "openai-organization") == "org-b");
  CHECK(result.config.deployments[0].id != result.config.deployments[1].id);
}

TEST_CASE(
    "Ids are the operator's, else a hash that holds no secret and does not depend on key order") {
  const auto id = [](const std::string& yaml, std::string secret) {
    return only_deployment(loaded(yaml, {{"K", std::move(secret)}})).id;
  };
  const std::string first = entry({"model: openai/x", "api_key: os.environ/K", "rpm: 5"});
  const std::string reordered = entry({"rpm: 5", "api_key: os.environ/K", "model: openai/x"});
  CHECK(id(first, "one").size() == 16);
  CHECK(id(first, "one") == id(reordered, "two"));
  CHECK(id(first, "one") !=
        id(entry({"model: openai/x", "api_key: os.environ/K", "rpm: 6"}), "one"));
  CHECK(id(first + "    model_info: {id: mine}\n", "one") == "mine");
  CHECK(id(first + "    model_info: {id: 17}\n", "one") == "17");
}

TEST_CASE("Equal entries get ids of their own; equal ids of the operator are a fault") {
  const std::string one = "  - {model_name: m, litellm_params: {model: openai/x, api_key: k}}\n";
  const auto result = loaded("model_list:\n" + one + one + one);
  const auto& deployments = result.config.deployments;
  REQUIRE(deployments.size() == 3);
  CHECK(deployments[1].id == deployments[0].id + "-2");
  CHECK(deployments[2].id == deployments[0].id + "-3");
  const std::string named =
      "  - {model_name: m, litellm_params: {model: openai/x, api_key: k}, model_info: {id: a}}\n";
  CHECK(only_fault("model_list:\n" + named + named).find("the id a is already") !=
        std::string::npos);
}

TEST_CASE("An id that cannot be a header value is a fault") {
  CHECK_FALSE(faults(entry({"model: openai/x"}) + "    model_info: {id: \"a\\nb\"}\n").empty());
  CHECK_FALSE(
      faults(entry({"model: openai/x"}) + "    model_info: {id: " + std::string(257, 'x') + "}\n")
          .empty());
  CHECK(loaded(entry({"model: openai/x"}) + "    model_info: {id: " + std::string(256, 'x') + "}\n")
            .config.deployments[0]
            .id.size() == 256);
}

TEST_CASE("Per-deployment settings are read with LiteLLM's names") {
  const auto result =
      loaded(entry({"model: openai/x", "api_key: k", "rpm: 80_000", "tpm: 5", "order: 2",
                    "max_parallel_requests: 3", "timeout: 30", "stream_timeout: 2.5",
                    "num_retries: 4", "cooldown_time: 0", "tags: [a, b]"}) +
             "    model_info: {max_input_tokens: 1000, allowed_fails: 1, assistant_prefill: true,\n"
             "      allowed_fails_policy: {RateLimitErrorAllowedFails: 9}}\n");
  const Deployment& d = only_deployment(result);
  CHECK(d.rpm == 80000u);
  CHECK(d.tpm == 5u);
  CHECK(d.order == 2);
  CHECK(d.max_parallel_requests == 3u);
  CHECK(d.timeout == seconds(30));
  CHECK(d.stream_timeout == milliseconds(2500));
  CHECK(d.num_retries == 4u);
  CHECK(d.cooldown.cooldown_time == Duration{});
  CHECK(d.cooldown.allowed_fails == 1u);
  CHECK(d.cooldown.allowed_fails_policy[static_cast<std::size_t>(ErrorClass::rate_limit)] == 9u);
  CHECK(d.max_input_tokens == 1000u);
  CHECK(d.assistant_prefill);
  CHECK(d.tags == std::vector<std::string>{"a", "b"});
}

TEST_CASE("A certificate file is taken as the CA; verification cannot be switched off") {
  const testing::Directory directory;
  const std::string file = directory.write("ca.pem", testing::kCertificate).string();
  const auto result = loaded(entry({"model: openai/x", "api_key: k", "ssl_verify: " + file}));
  CHECK(only_deployment(result).origin.ca_file == file);
  const auto off = loaded(entry({"model: openai/x", "api_key: k", "ssl_verify: false"}));
  CHECK(only_deployment(off).origin.ca_file.empty());
  CHECK(has_warning(off, "certificates are always verified"));
}

TEST_CASE("A file of authorities that holds none is a fault that says what it is instead") {
  const testing::Directory directory;
  const auto fault = [](const std::string& file) {
    const std::string told =
        only_fault(entry({"model: openai/x", "api_key: k", "ssl_verify: " + file}));
    const std::string begin =
        "config.yaml:6:19: model_list[0].litellm_params.ssl_verify: must be a file of trusted "
        "certificates; \"" +
        file + "\" ";
    REQUIRE(told.starts_with(begin));
    return told.substr(begin.size());
  };
  CHECK(fault("/no/such/file") == "does not exist");
  CHECK(fault("/tmp") == "is a directory");
  CHECK(fault("/dev/zero") == "is not a regular file");
  CHECK(fault("none.pem") == "does not exist");
  CHECK(fault(directory.write("key.pem", "-----BEGIN PRIVATE KEY-----\n").string()) ==
        "holds no PEM certificate");
}

TEST_CASE("Names that cannot be matched or logged are faults") {
  CHECK(only_fault("model_list: [{model_name: \"a\\nb\", litellm_params: {model: openai/x}}]")
            .find("control characters") != std::string::npos);
  CHECK_FALSE(faults("model_list: [{model_name: " + std::string(513, 'x') +
                     ", litellm_params: {model: openai/x}}]")
                  .empty());
  CHECK_FALSE(faults("model_list: [{model_name: '', litellm_params: {model: openai/x}}]").empty());
}

TEST_CASE("What an entry lacks is named at the entry") {
  CHECK(only_fault("model_list:\n  - litellm_params: {model: openai/x}\n") ==
        "config.yaml:2:5: model_list[0]: model_name is missing");
  CHECK(only_fault("model_list:\n  - model_name: x\n") ==
        "config.yaml:2:5: model_list[0]: litellm_params is missing");
  CHECK(only_fault("model_list:\n  - model_name: x\n    litellm_params: {api_key: k}\n") ==
        "config.yaml:3:21: model_list[0].litellm_params: model is missing");
  CHECK(only_fault("model_list:\n  - model_name: x\n    litellm_params: text\n") ==
        "config.yaml:3:21: model_list[0].litellm_params: must be a map, not \"text\"");
  CHECK(only_fault("model_list: text\n") ==
        "config.yaml:1:13: model_list: must be a list, not a single value");
}

}  // namespace
}  // namespace spillway::config
