#include "config/providers.hpp"

#include <catch2/catch_test_macros.hpp>
#include <set>

#include "config/base_url.hpp"
#include "config_support.hpp"

namespace spillway::config {
namespace {

struct Read {
  Registry registry;
  std::vector<Notice> faults;
  std::vector<Notice> warnings;
};

Read read(std::string_view text) {
  Report report;
  Context context{.report = report, .variables = Variables({}, report)};
  Read out;
  read_providers(text, "p.json", context, out.registry);
  out.faults = report.take_faults();
  out.warnings = report.take_warnings();
  return out;
}

std::string only_fault(std::string_view text) {
  const Read result = read(text);
  for (const Notice& notice : result.faults) UNSCOPED_INFO(to_string(notice));
  REQUIRE(result.faults.size() == 1);
  return to_string(result.faults[0]);
}

TEST_CASE("The shipped providers are read without a fault or a warning, and are at least sixty") {
  const Read result = read(embedded_providers());
  for (const Notice& notice : result.faults) UNSCOPED_INFO(to_string(notice));
  CHECK(result.faults.empty());
  CHECK(result.warnings.empty());
  const auto usable =
      std::count_if(result.registry.begin(), result.registry.end(),
                    [](const auto& entry) { return entry.second.left_out.empty(); });
  CHECK(usable >= 60);
}

TEST_CASE("Every shipped provider makes clean targets with its key set") {
  for (const auto& [slug, provider] : read(embedded_providers()).registry) {
    INFO(slug);
    if (!provider.left_out.empty()) continue;
    Environment environment{{"AWS_REGION", "eu-west-1"}, {"CLOUDFLARE_ACCOUNT_ID", "abc"}};
    if (!provider.api_key_env.empty()) environment[provider.api_key_env.front()] = "k";
    const std::string base = provider.base_url.empty() ? "api_base: https://h.test/v1" : "";
    const auto result =
        testing::loaded(testing::entry({"model: " + slug + "/m", base}), environment);
    const Deployment& deployment = testing::only_deployment(result);
    CHECK(deployment.unusable == "");
    CHECK(deployment.provider == slug);
    const std::string chat = testing::target(deployment, Endpoint::chat_completions);
    CHECK(chat.starts_with("/"));
    CHECK(chat.find("/chat/completions") != std::string::npos);
    for (const std::string& target : deployment.targets)
      CHECK(target.find("//") == std::string::npos);
  }
}

// Behind the others the model decides, and one that pays no heed to a prefix answers anew.
TEST_CASE("Only providers whose every model continues or rejects a prefix are declared so") {
  for (const auto& [slug, provider] : read(embedded_providers()).registry) {
    INFO(slug);
    CHECK(provider.assistant_prefill == (slug == "anthropic"));
  }
}

TEST_CASE("The well-known providers are shipped") {
  const Registry registry = read(embedded_providers()).registry;
  for (const std::string_view slug :
       {"openai",      "groq",        "together_ai", "fireworks_ai",   "deepinfra",
        "deepseek",    "mistral",     "xai",         "openrouter",     "perplexity",
        "cerebras",    "sambanova",   "nvidia_nim",  "nebius",         "novita",
        "moonshot",    "dashscope",   "gemini",      "anthropic",      "azure",
        "ollama",      "lm_studio",   "hosted_vllm", "llamafile",      "github",
        "huggingface", "cloudflare",  "bedrock",     "publicai",       "helicone",
        "veniceai",    "xiaomi_mimo", "scaleway",    "synthetic",      "apertis",
        "nano-gpt",    "poe",         "chutes",      "abliteration",   "llamagate",
        "gmi",         "sarvam",      "assemblyai",  "charity_engine", "aihubmix",
        "crusoe",      "byteplus",    "darkbloom",   "neosantara",     "tensormesh",
        "parasail",    "libertai",    "empiriolabs", "meta",           "cognition",
        "pinstripes",  "scx-ai"}) {
    INFO(slug);
    CHECK(registry.contains(slug));
  }
}

TEST_CASE("An entry of LiteLLM's format is read with every key it knows") {
  const Read result = read(R"({"acme": {
    "base_url": "https://acme.test/v1/", "api_key_env": "ACME_KEY", "api_base_env": "ACME_BASE",
    "base_class": "openai_like", "param_mappings": {"max_completion_tokens": "max_tokens"},
    "constraints": {"temperature_max": 1.5, "temperature_min": 0.1,
                    "temperature_min_with_n_gt_1": 0.3},
    "special_handling": {"convert_content_list_to_string": true, "force_store_false": true},
    "headers": {"X-Key": "{api_key}"}, "supported_endpoints": ["/v1/responses", "/v1/messages"],
    "extra_supported_params": ["x"], "assistant_prefill": true}})");
  CHECK(result.faults.empty());
  CHECK(result.warnings.empty());
  const Provider& acme = result.registry.at("acme");
  CHECK(acme.api_key_env == std::vector<std::string>{"ACME_KEY"});
  CHECK(acme.api_base_env == std::vector<std::string>{"ACME_BASE"});
  CHECK(acme.param_mappings.at(0) ==
        std::pair<std::string, std::string>{"max_completion_tokens", "max_tokens"});
  CHECK(acme.temperature_max == 1.5);
  CHECK(acme.temperature_min == 0.1);
  CHECK(acme.temperature_min_with_n_gt_1 == 0.3);
  CHECK(acme.content_list_to_string);
  CHECK(acme.force_store_false);
  CHECK(acme.headers.at(0).second == "{api_key}");
  CHECK(acme.assistant_prefill);
  CHECK(acme.endpoints[static_cast<std::size_t>(Endpoint::chat_completions)]);
  CHECK(acme.endpoints[static_cast<std::size_t>(Endpoint::responses)]);
  CHECK_FALSE(acme.endpoints[static_cast<std::size_t>(Endpoint::embeddings)]);
}

TEST_CASE("An empty list of endpoints means all of them") {
  const Read result = read(
      R"({"a": {"base_url": "https://a.test", "api_key_env": "K", "supported_endpoints": []}})");
  for (const bool offered : result.registry.at("a").endpoints) CHECK(offered);
}

TEST_CASE("What is wrong in a providers file is a fault with its line") {
  CHECK(only_fault("{\n  \"a\": {\n    \"api_key_env\": \"K\"\n  }\n}") ==
        "p.json:2:8: a: base_url is missing");
  CHECK(only_fault("{\n\"a\": {\"base_url\": \"https://a.test\"}}") ==
        "p.json:2:6: a: api_key_env is missing");
  CHECK(only_fault("{\"a\":\n{\"base_url\": \"a.test\", \"api_key_env\": \"K\"}}")
            .starts_with("p.json:2:14: a.base_url: "));
  CHECK(only_fault("{\"a\": {\"base_url\": [1], \"api_key_env\": \"K\"}}").find("must be a text") !=
        std::string::npos);
  CHECK(only_fault("{\"a\": 5}").find("must be an object") != std::string::npos);
  CHECK(only_fault("[]").find("one JSON object") != std::string::npos);
  CHECK(only_fault("").find("is not JSON here") != std::string::npos);
  CHECK(only_fault("{\n\"a\": {\n}").starts_with("p.json:3:"));
  CHECK(only_fault("{\"a/b\": {\"base_url\": \"https://a\", \"api_key_env\": \"K\"}}")
            .find("no '/'") != std::string::npos);
  CHECK(only_fault(R"({"a": {"base_url": "https://a", "api_key_env": "K"},
                       "a": {"base_url": "https://b", "api_key_env": "K"}})")
            .find("twice") != std::string::npos);
}

TEST_CASE("Ill-typed values of a provider are faults") {
  for (const std::string_view wrong :
       {R"("auth": "basic")", R"("url_style": "x")", R"("param_mappings": {"a": 1})",
        R"("param_mappings": [])", R"("constraints": {"temperature_max": "hot"})",
        R"("special_handling": {"force_store_false": 3})", R"("headers": {"a b": "x"})",
        R"("headers": {"host": "x"})", R"("headers": {"x": "a\r\nb"})",
        R"("supported_endpoints": "all")", R"("api_key_required": "perhaps")",
        R"("base_url_params": {"region": ["R"]})"}) {
    INFO(wrong);
    const std::string text =
        R"({"a": {"base_url": "https://a.test", "api_key_env": "K", )" + std::string(wrong) + "}}";
    CHECK(read(text).faults.size() == 1);
  }
}

TEST_CASE("An unknown key of a provider is a warning, since LiteLLM ignores it") {
  const Read result =
      read(R"({"a": {"base_url": "https://a.test", "api_key_env": "K", "colour": "red",
    "constraints": {"temperature_med": 1}, "supported_endpoints": ["/v2/new"]}})");
  CHECK(result.faults.empty());
  CHECK(result.warnings.size() == 3);
}

TEST_CASE("A user's entry replaces the shipped one as a whole, and a bad file stops the start") {
  const testing::Directory directory;
  Sources sources;
  sources.environment = {{"MY_GROQ", "k"}};
  sources.providers_file = directory.write(
      "mine.json", R"({"groq": {"base_url": "https://mine.test/v1", "api_key_env": "MY_GROQ"}})");
  const std::string yaml = testing::entry({"model: groq/x", "drop_params: true"});
  const auto result = load_text(yaml, "config.yaml", sources);
  REQUIRE(result.has_value());
  CHECK(result->config.deployments[0].origin.host == "mine.test");
  CHECK(result->config.deployments[0].body.drop.empty());
  sources.providers_file = directory.write("bad.json", "{\n  \"groq\": {,}\n}");
  const auto bad = load_text(yaml, "config.yaml", sources);
  REQUIRE_FALSE(bad.has_value());
  CHECK(bad.error()[0].line == 2);
}

}  // namespace
}  // namespace spillway::config
