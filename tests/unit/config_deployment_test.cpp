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
using testing::target;

constexpr Endpoint kChat = Endpoint::chat_completions;

TEST_CASE("A model names its provider by prefix, by family or by its address") {
  struct Row {
    std::string_view model;
    std::string_view extra;
    std::string_view provider;
    std::string_view upstream;
    std::string_view host;
  };
  constexpr Row kRows[] = {
      {"groq/llama-3", "", "groq", "llama-3", "api.groq.com"},
      {"groq/openai/gpt-oss-20b", "", "groq", "openai/gpt-oss-20b", "api.groq.com"},
      {"gpt-4o", "", "openai", "gpt-4o", "api.openai.com"},
      {"o3-mini", "", "openai", "o3-mini", "api.openai.com"},
      {"text-embedding-3-small", "", "openai", "text-embedding-3-small", "api.openai.com"},
      {"dall-e-3", "", "openai", "dall-e-3", "api.openai.com"},
      {"whisper-1", "", "openai", "whisper-1", "api.openai.com"},
      {"claude-sonnet-4-5", "", "anthropic", "claude-sonnet-4-5", "api.anthropic.com"},
      {"gemini-2.5-pro", "", "gemini", "gemini-2.5-pro", "generativelanguage.googleapis.com"},
      {"command-r-plus", "", "cohere", "command-r-plus", "api.cohere.ai"},
      {"deepseek-chat", "", "deepseek", "deepseek-chat", "api.deepseek.com"},
      {"llama", "api_base: https://api.groq.com/openai/v1", "groq", "llama", "api.groq.com"},
      {"my-model", "api_base: http://gpu:8000/v1", "openai", "my-model", "gpu"},
      {"mistralai/mistral-7b", "api_base: http://gpu:8000/v1", "openai", "mistralai/mistral-7b",
       "gpu"},
      {"openai/mine", "api_base: http://gpu:8000/v1", "openai", "mine", "gpu"},
      {"mine", "base_url: http://gpu:8000/v1", "openai", "mine", "gpu"},
      {"llama-3", "custom_llm_provider: groq", "groq", "llama-3", "api.groq.com"},
      {"groq/llama-3", "custom_llm_provider: groq", "groq", "llama-3", "api.groq.com"},
      {"hosted_vllm/x", "api_base: http://gpu/v1", "hosted_vllm", "x", "gpu"},
  };
  for (const Row& row : kRows) {
    INFO(row.model << " " << row.extra);
    const auto result =
        loaded(entry({"model: " + std::string(row.model), "api_key: k", row.extra}));
    const Deployment& deployment = only_deployment(result);
    CHECK(deployment.unusable == "");
    CHECK(deployment.provider == row.provider);
    CHECK(deployment.model == row.upstream);
    CHECK(deployment.origin.host == row.host);
  }
}

TEST_CASE("An unknown provider beside an api_base is served, and doubted with the nearest name") {
  struct Row {
    std::string_view model;
    std::string_view extra;
    std::string_view doubt;  // empty: none
  };
  constexpr Row kRows[] = {
      {"opnai/x", "api_base: http://gpu/v1",
       "litellm_params.model: \"opnai\" is not a known provider, so the model is called "
       "\"opnai/x\" at its api_base; did you mean \"openai\"?"},
      {"opnai/x", "api_base: https://api.openai.com/v1", "did you mean \"openai\"?"},
      {"openai/x", "custom_llm_provider: nope\n      api_base: http://gpu/v1",
       "litellm_params.custom_llm_provider: \"nope\" is not a known provider, so the model is "
       "called \"openai/x\" at its api_base"},
      {"openai/x", "api_base: http://gpu/v1", ""},
      {"my-model", "api_base: http://gpu/v1", ""},
  };
  for (const Row& row : kRows) {
    INFO(row.model << " " << row.extra);
    const auto result =
        loaded(entry({"model: " + std::string(row.model), "api_key: k", row.extra}));
    CHECK(only_deployment(result).usable());
    CHECK(result.warnings.empty() == row.doubt.empty());
    CHECK((row.doubt.empty() || has_warning(result, row.doubt)));
  }
}

TEST_CASE("A model that names no provider is left out, with the nearest one") {
  struct Row {
    std::string_view model;
    std::string_view reason;
  };
  constexpr Row kRows[] = {
      {"mistralai/mistral-7b",
       "\"mistralai\" is not a known provider and there is no api_base; did you mean \"mistral\"?"},
      {"grok-4", "nothing says whose model \"grok-4\" is"},
      {"o1x", "nothing says whose"},
      {"vertex_ai/gemini", "wants Google Cloud credentials"},
      {"sagemaker/x", "request signing"},
      {"groq/", "no model is named"},
      {"groq/*", "more '*' than its model_name"},
  };
  for (const Row& row : kRows) {
    INFO(row.model);
    const auto result = loaded(entry({"model: " + std::string(row.model), "api_key: k"}));
    CHECK(only_deployment(result).unusable.find(row.reason) != std::string::npos);
    CHECK(has_warning(result, "config.yaml:4:14: model_list[0].litellm_params.model: left out: "));
    CHECK(result.config.groups[0].deployments.empty());
    CHECK(result.config.groups[0].left_out.size() == 1);
  }
}

TEST_CASE(
    "The key comes from the entry, else from the provider's variable, else the deployment is left "
    "out") {
  const auto key = [](std::string_view line, Environment environment) {
    const auto result = loaded(entry({"model: groq/x", line}), std::move(environment));
    const Deployment& deployment = only_deployment(result);
    return deployment.usable() ? header(deployment, "authorization") : deployment.unusable;
  };
  CHECK(key("api_key: a", {{"GROQ_API_KEY", "b"}}) == "Bearer a");
  CHECK(key("api_key: os.environ/MINE", {{"MINE", "c"}}) == "Bearer c");
  CHECK(key("", {{"GROQ_API_KEY", " b\n"}}) == "Bearer b");
  CHECK(key("", {}) == "GROQ_API_KEY is not set");
  CHECK(key("", {{"GROQ_API_KEY", ""}}) == "GROQ_API_KEY is not set");
  CHECK(key("api_key: os.environ/MINE", {{"GROQ_API_KEY", "b"}}) == "MINE is not set");
  CHECK(key("api_key: ${MINE}", {}) == "MINE is not set");
  CHECK(key("api_key: \"a\\r\\nb\"", {}) ==
        "its API key holds characters that a header cannot carry");
}

TEST_CASE("Servers of one's own need no key; OpenAI's does") {
  const auto state = [](std::string_view model, std::string_view base) {
    const auto result = loaded(entry({"model: " + std::string(model), base}));
    const Deployment& deployment = only_deployment(result);
    return deployment.usable() ? header(deployment, "authorization") : deployment.unusable;
  };
  CHECK(state("openai/x", "") == "OPENAI_API_KEY is not set");
  CHECK(state("openai/x", "api_base: http://gpu/v1") == "(none)");
  CHECK(state("x", "api_base: http://gpu/v1") == "(none)");
  CHECK(state("ollama/x", "") == "(none)");
  CHECK(state("groq/x", "api_base: http://gpu/v1") == "GROQ_API_KEY is not set");
}

TEST_CASE("A provider's key is not sent to an address whose owner nobody named") {
  const Environment environment{{"OPENAI_API_KEY", "sk-real"}};
  const auto inferred = loaded(entry({"model: vendor/x", "api_base: http://gpu/v1"}), environment);
  CHECK(header(only_deployment(inferred), "authorization") == "(none)");
  const auto named = loaded(entry({"model: openai/x", "api_base: http://gpu/v1"}), environment);
  CHECK(header(only_deployment(named), "authorization") == "Bearer sk-real");
}

TEST_CASE("The address comes from the entry, else from the environment, else from the provider") {
  const auto host = [](std::string_view line, Environment environment) {
    environment["OPENAI_API_KEY"] = "k";
    return only_deployment(loaded(entry({"model: openai/x", line}), environment)).origin.host;
  };
  const Environment elsewhere{{"OPENAI_API_BASE", "https://env.test/v1"}};
  CHECK(host("api_base: https://own.test/v1", elsewhere) == "own.test");
  CHECK(host("", elsewhere) == "env.test");
  CHECK(host("", {}) == "api.openai.com");
  CHECK(host("api_base: ''", {}) == "api.openai.com");
}

TEST_CASE("Targets are the base's path and the endpoint's, without double slashes") {
  const auto result =
      loaded(entry({"model: openai/x", "api_key: k", "api_base: https://h/api/v1/"}));
  const Deployment& deployment = only_deployment(result);
  CHECK(target(deployment, kChat) == "/api/v1/chat/completions");
  CHECK(target(deployment, Endpoint::embeddings) == "/api/v1/embeddings");
  CHECK(target(deployment, Endpoint::audio_speech) == "/api/v1/audio/speech");
}

TEST_CASE(
    "An api_base that names only a host gets the path its provider declares, and openai/ none") {
  const auto path = [](std::string_view model, std::string_view base) {
    return target(
        only_deployment(loaded(entry({"model: " + std::string(model), "api_key: k", base}))),
        kChat);
  };
  CHECK(path("ollama/x", "api_base: http://h:11434") == "/v1/chat/completions");
  CHECK(path("ollama/x", "api_base: http://h:11434/other") == "/other/chat/completions");
  CHECK(path("anthropic/x", "api_base: https://h/") == "/v1/chat/completions");
  CHECK(path("openai/x", "api_base: http://h") == "/chat/completions");
}

TEST_CASE("Azure has a deployments URL with an api_version and the v1 URL without") {
  struct Row {
    std::string_view base;
    std::string_view version;
    std::string_view chat;
    std::string_view responses;
  };
  constexpr Row kRows[] = {
      {"https://r.openai.azure.com/", "", "/openai/v1/chat/completions", "/openai/v1/responses"},
      {"https://r.openai.azure.com/openai/v1/", "", "/openai/v1/chat/completions",
       "/openai/v1/responses"},
      {"https://r.openai.azure.com/openai/v1", "2024-10-21", "/openai/v1/chat/completions",
       "/openai/v1/responses"},
      {"https://r.openai.azure.com", "2024-10-21",
       "/openai/deployments/{model}/chat/completions?api-version=2024-10-21",
       "/openai/responses?api-version=2024-10-21"},
      {"https://r.openai.azure.com/openai", "2024-10-21",
       "/openai/deployments/{model}/chat/completions?api-version=2024-10-21",
       "/openai/responses?api-version=2024-10-21"},
      {"https://r.openai.azure.com", "v1", "/openai/v1/chat/completions", "/openai/v1/responses"},
      {"https://r.openai.azure.com", "preview", "/openai/v1/chat/completions?api-version=preview",
       "/openai/v1/responses?api-version=preview"},
      {"https://r.openai.azure.com/openai/deployments/fixed", "2024-10-21",
       "/openai/deployments/fixed/chat/completions?api-version=2024-10-21",
       "/openai/deployments/fixed/responses?api-version=2024-10-21"},
  };
  for (const Row& row : kRows) {
    INFO(row.base << " " << row.version);
    const std::string version =
        row.version.empty() ? "" : "api_version: " + std::string(row.version);
    const auto result = loaded(
        entry({"model: azure/d", "api_key: k", "api_base: " + std::string(row.base), version}));
    const Deployment& deployment = only_deployment(result);
    CHECK(target(deployment, kChat) == row.chat);
    CHECK(target(deployment, Endpoint::responses) == row.responses);
    CHECK(target(deployment, Endpoint::moderations).empty());
    CHECK(header(deployment, "api-key") == "k");
    CHECK(header(deployment, "authorization") == "(none)");
  }
}

TEST_CASE("Azure's address, key and version may be in the environment") {
  const auto result = loaded(entry({"model: azure/d"}), {{"AZURE_API_KEY", "k"},
                                                         {"AZURE_API_BASE", "https://r.azure.test"},
                                                         {"AZURE_API_VERSION", "2024-10-21"}});
  CHECK(target(only_deployment(result), kChat) ==
        "/openai/deployments/{model}/chat/completions?api-version=2024-10-21");
  const auto without = loaded(entry({"model: azure/d", "api_key: k"}));
  CHECK(only_deployment(without).unusable == "neither api_base nor AZURE_API_BASE is set");
}

TEST_CASE("An api_version that would change the query is a fault") {
  CHECK(only_fault(
            entry({"model: azure/d", "api_key: k", "api_base: https://r", "api_version: '1&x=2'"}))
            .starts_with(
                "config.yaml:7:20: model_list[0].litellm_params.api_version: must be a version"));
}

TEST_CASE("Bedrock works with an API key and a region, and says why not without") {
  const auto good =
      loaded(entry({"model: bedrock/openai.gpt-oss-20b", "aws_region_name: eu-west-1"}),
             {{"AWS_BEARER_TOKEN_BEDROCK", "t"}});
  CHECK(only_deployment(good).origin.host == "bedrock-runtime.eu-west-1.amazonaws.com");
  CHECK(target(only_deployment(good), kChat) == "/openai/v1/chat/completions");
  CHECK(header(only_deployment(good), "authorization") == "Bearer t");
  const auto bad =
      loaded(entry({"model: bedrock/x", "aws_access_key_id: AKIA", "aws_region_name: eu-west-1"}));
  CHECK(only_deployment(bad).unusable.starts_with(
      "AWS_BEARER_TOKEN_BEDROCK is not set: only Bedrock API keys"));
  CHECK(only_deployment(bad).body.defaults.empty());
}

TEST_CASE("A region that is not a host name part is a fault, not another host") {
  CHECK_FALSE(faults(entry({"model: bedrock/x", "api_key: k", "aws_region_name: 'x/@evil.test#'"}))
                  .empty());
}

}  // namespace
}  // namespace spillway::config
