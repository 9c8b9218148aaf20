// Which provider a `litellm_params.model` means, and what the model is called there.
//
// "provider/model" goes by the registry. Names without a prefix are looked up in a short table of
// families that name their maker (gpt-4o is OpenAI's). Anything else with an api_base is taken as
// OpenAI-compatible.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "config/providers.hpp"

namespace spillway::config {

struct ModelSpec {
  std::string model;                    // litellm_params.model
  std::optional<std::string> provider;  // custom_llm_provider
  std::optional<std::string> api_base;
};

struct ProviderChoice {
  const Provider* provider = nullptr;
  std::string model;      // upstream name
  bool inferred = false;  // nothing names the provider: no key is taken from the environment for it
  std::string unusable;   // why there is no provider
  std::string doubt;      // what is probably misspelt, though the deployment can be used
};

ProviderChoice choose_provider(const ModelSpec& spec, const Registry& registry);

}  // namespace spillway::config
