#include "config/provider_choice.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

#include "config/base_url.hpp"
#include "config/suggest.hpp"

namespace spillway::config {

namespace {

struct Family {
  std::string_view prefix;
  std::string_view provider;
};

constexpr std::array<Family, 26> kFamilies{{
    {"gpt-", "openai"},
    {"chatgpt-", "openai"},
    {"ft:gpt-", "openai"},
    {"o1", "openai"},
    {"o3", "openai"},
    {"o4", "openai"},
    {"codex-", "openai"},
    {"computer-use-preview", "openai"},
    {"text-embedding-3", "openai"},
    {"text-embedding-ada", "openai"},
    {"text-moderation", "openai"},
    {"omni-moderation", "openai"},
    {"text-davinci", "openai"},
    {"davinci-", "openai"},
    {"babbage-", "openai"},
    {"dall-e", "openai"},
    {"tts-1", "openai"},
    {"whisper", "openai"},
    {"*", "openai"},
    {"claude-", "anthropic"},
    {"gemini-", "gemini"},
    {"command-", "cohere"},
    {"embed-english-", "cohere"},
    {"embed-multilingual-", "cohere"},
    {"deepseek-chat", "deepseek"},
    {"deepseek-reasoner", "deepseek"},
}};

// A family's prefix ends at a word: "o1" and "o1-mini", but not "o1x".
bool belongs(std::string_view model, std::string_view prefix) {
  if (!model.starts_with(prefix)) return false;
  const std::string_view rest = model.substr(prefix.size());
  return prefix.ends_with('-') || rest.empty() || rest.front() == '-' || rest.front() == ':' ||
         rest.front() == '*';
}

const Provider* find(const Registry& registry, std::string_view slug) {
  const auto found = registry.find(slug);
  return found == registry.end() ? nullptr : &found->second;
}

// The provider that lives at this address, as with `api_base: https://api.groq.com/openai/v1`.
const Provider* at_address(const Registry& registry, std::string_view api_base) {
  const auto wanted = parse_base_url(api_base);
  if (!wanted) return nullptr;
  for (const auto& [slug, provider] : registry) {
    const auto own = parse_base_url(provider.base_url);
    if (own && own->origin == wanted->origin && own->origin.tls) return &provider;
  }
  return nullptr;
}

std::string known_provider_near(std::string_view slug, const Registry& registry) {
  std::vector<std::string_view> slugs;
  for (const auto& [name, provider] : registry) slugs.push_back(name);
  return did_you_mean(slug, slugs);
}

std::string unknown_provider(std::string_view slug, const Registry& registry) {
  return fmt::format("\"{}\" is not a known provider and there is no api_base{}", slug,
                     known_provider_near(slug, registry));
}

// `choice` goes by its api_base, whatever `slug` was meant to be.
ProviderChoice doubted(ProviderChoice choice, std::string_view slug, const Registry& registry) {
  choice.doubt =
      fmt::format("\"{}\" is not a known provider, so the model is called \"{}\" at its api_base{}",
                  slug, choice.model, known_provider_near(slug, registry));
  return choice;
}

ProviderChoice compatible(std::string model, const Registry& registry) {
  return {.provider = find(registry, "openai"),
          .model = std::move(model),
          .inferred = true,
          .unusable = "",
          .doubt = ""};
}

}  // namespace

ProviderChoice choose_provider(const ModelSpec& spec, const Registry& registry) {
  ProviderChoice choice;
  choice.model = spec.model;
  const std::size_t slash = spec.model.find('/');
  const std::string prefix = slash == std::string::npos ? "" : spec.model.substr(0, slash);
  if (spec.provider) {
    if (prefix == *spec.provider) choice.model = spec.model.substr(slash + 1);
    choice.provider = find(registry, *spec.provider);
    if (choice.provider != nullptr) return choice;
    if (spec.api_base) return doubted(compatible(choice.model, registry), *spec.provider, registry);
    choice.unusable = unknown_provider(*spec.provider, registry);
    return choice;
  }
  if (!prefix.empty() && find(registry, prefix) != nullptr) {
    choice.provider = find(registry, prefix);
    choice.model = spec.model.substr(slash + 1);
    return choice;
  }
  if (spec.api_base) {
    choice.provider = at_address(registry, *spec.api_base);
    if (choice.provider != nullptr)
      return prefix.empty() ? choice : doubted(std::move(choice), prefix, registry);
  }
  for (const Family& family : kFamilies) {
    if (prefix.empty() && belongs(spec.model, family.prefix)) {
      choice.provider = find(registry, family.provider);
      if (choice.provider != nullptr) return choice;
    }
  }
  if (spec.api_base) {
    ProviderChoice guess = compatible(spec.model, registry);
    return prefix.empty() ? guess : doubted(std::move(guess), prefix, registry);
  }
  choice.unusable = prefix.empty()
                        ? fmt::format(
                              "nothing says whose model \"{}\" is; write it as provider/model "
                              "or set api_base",
                              spec.model)
                        : unknown_provider(prefix, registry);
  return choice;
}

}  // namespace spillway::config
