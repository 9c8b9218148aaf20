// Whatever becomes of a configuration, loading it answers: with a value or with faults, never with
// an exception, and never with a secret in a message.
#include <catch2/catch_test_macros.hpp>
#include <random>

#include "config_support.hpp"

namespace spillway::config {
namespace {

constexpr std::string_view kYaml = R"(model_list:
  - model_name: gpt
    litellm_params: &p
      model: openai/gpt-4o
      api_key: SECRET-literal
      api_base: https://api.example.com/v1
      rpm: 80_000
      temperature: 0.1
      extra_headers: {x-team: SECRET-header}
    model_info: {id: one, max_input_tokens: 1000}
  - model_name: "*"
    litellm_params:
      <<: *p
      model: openai/*
      api_key: os.environ/KEY
  - model_name: az
    litellm_params: {model: azure/d, api_base: "https://a.test", api_version: 2024-10-21}
router_settings:
  num_retries: 3
  fallbacks: [{gpt: ["az"]}]
  model_group_alias: {x: gpt}
litellm_settings:
  drop_params: true
  request_timeout: 600
  context_window_fallbacks: [{gpt-5: [gpt-6]}]
general_settings: {master_key: SECRET-master}
environment_variables: {PW: SECRET-variable}
spillway:
  listen: 127.0.0.1:4000
  keys: [{name: ci, key: SECRET-client}]
  limits: {body: 8MiB}
  timeouts: {total: off, connect: 5s}
)";

constexpr std::string_view kJson =
    R"({"model_list": [{"model_name": "a", "litellm_params": {"model": "groq/x",
"api_key": "SECRET-json", "tags": ["t"], "stop": ["\u00e9\ud83d\ude00"], "seed": -1.5e3}}],
"spillway": {"access_log": {"sample": 0.5}}})";

std::string mutated(std::string text, std::mt19937_64& random) {
  constexpr std::string_view kPieces[] = {"\n",
                                          "  ",
                                          "\t",
                                          ":",
                                          ": ",
                                          "- ",
                                          "[",
                                          "]",
                                          "{",
                                          "}",
                                          "*",
                                          "&a ",
                                          "*a",
                                          "!",
                                          "|",
                                          ">",
                                          "\"",
                                          "'",
                                          "#",
                                          ",",
                                          "%",
                                          "---",
                                          "...",
                                          "null",
                                          "1e999",
                                          "-1",
                                          "\xFF",
                                          "\xC3",
                                          "\\u",
                                          "${X}",
                                          "os.environ/NO",
                                          "<<: ",
                                          "? ",
                                          std::string_view("\0", 1),
                                          "99999999999999999999"};
  const auto below = [&](std::size_t bound) { return random() % bound; };
  const std::size_t edits = 1 + below(4);
  for (std::size_t i = 0; i < edits && !text.empty(); ++i) {
    const std::size_t at = below(text.size());
    switch (below(5)) {
      case 0:
        text[at] = static_cast<char>(random());
        break;
      case 1:
        text.erase(at, 1 + below(20));
        break;
      case 2:
        text.insert(at, kPieces[below(std::size(kPieces))]);
        break;
      case 3:
        text.insert(at, text.substr(below(text.size()), below(60)));
        break;
      default:
        text.resize(at);
    }
  }
  return text;
}

// A mutation may copy a secret to where nobody expects one, or rename its key; what is promised is
// about secrets that still stand where they stood.
bool secrets_in_place(std::string_view text) {
  constexpr std::string_view kPlaces[] = {"api_key: SECRET-literal", "{x-team: SECRET-header}",
                                          "{master_key: SECRET-master}", "{PW: SECRET-variable}",
                                          "key: SECRET-client}"};
  for (const std::string_view place : kPlaces) {
    if (text.find(place) == std::string_view::npos) return false;
  }
  std::size_t secrets = 0;
  for (std::size_t at = text.find("SECRET"); at != std::string_view::npos;
       at = text.find("SECRET", at + 1)) {
    ++secrets;
  }
  return secrets == std::size(kPlaces);
}

TEST_CASE("No mutation of a configuration makes loading throw, hang or tell a secret") {
  constexpr std::uint64_t kSeed = 20261121;
  std::mt19937_64 random(kSeed);
  const Environment environment{{"KEY", "SECRET-environment"}, {"AZURE_API_KEY", "SECRET-azure"}};
  for (int round = 0; round < 1000; ++round) {
    const std::string text = mutated(std::string(round % 4 == 0 ? kJson : kYaml), random);
    INFO("seed " << kSeed << ", round " << round << "\n" << text);
    const auto result = load_text(text, "config.yaml", testing::with(environment));
    const bool intact = round % 4 != 0 && secrets_in_place(text);
    for (const Notice& notice : result ? result->warnings : result.error()) {
      CHECK_FALSE(to_string(notice).empty());
      if (intact) CHECK(to_string(notice).find("SECRET") == std::string::npos);
    }
    if (result) CHECK(describe(result->config).find("SECRET-environment") == std::string::npos);
    if (!result) CHECK_FALSE(result.error().empty());
  }
}

TEST_CASE("Loading the same text twice gives the same deployments") {
  const Environment environment{{"KEY", "k"}, {"AZURE_API_KEY", "a"}};
  const auto first = testing::loaded(kYaml, environment);
  const auto second = testing::loaded(kYaml, environment);
  CHECK(describe(first.config) == describe(second.config));
  CHECK(first.config.read_keys == second.config.read_keys);
  CHECK(first.warnings == second.warnings);
}

}  // namespace
}  // namespace spillway::config
