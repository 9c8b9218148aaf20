#include "core/config.hpp"

#include "core/bounds.hpp"

namespace spillway {
namespace {

// The texts that each '*' of `pattern` stands for, earlier ones as short as possible; nullopt: no
// match. Every literal between two stars is taken at its first occurrence, which never rules out a
// later match, so there is nothing to go back to and the cost is at most |pattern| * |text|.
std::optional<std::vector<std::string>> match_wildcard(std::string_view pattern,
                                                       std::string_view text) {
  std::size_t star = pattern.find('*');
  if (star == std::string_view::npos) return std::nullopt;
  if (!text.starts_with(pattern.substr(0, star))) return std::nullopt;
  text.remove_prefix(star);
  pattern.remove_prefix(star + 1);

  std::vector<std::string> captures;
  while ((star = pattern.find('*')) != std::string_view::npos) {
    const std::size_t at = text.find(pattern.substr(0, star));
    if (at == std::string_view::npos) return std::nullopt;
    captures.emplace_back(text.substr(0, at));
    text.remove_prefix(at + star);
    pattern.remove_prefix(star + 1);
  }
  if (!text.ends_with(pattern)) return std::nullopt;
  text.remove_suffix(pattern.size());
  captures.emplace_back(text);
  return captures;
}

}  // namespace

std::optional<ModelMatch> find_model(const Config& config, std::string_view requested) {
  if (requested.size() > bounds::kModelNameBytes) return std::nullopt;
  // One hop only: an alias that names an alias would allow loops.
  if (const auto alias = config.aliases.find(requested); alias != config.aliases.end()) {
    requested = alias->second;
  }
  if (const GroupIndex* const exact = config.exact_names.find(requested)) {
    return ModelMatch{*exact, {}};
  }
  if (const DeploymentIndex* const id = config.deployment_ids.find(requested)) {
    return ModelMatch{config.at(*id).group, {}, *id};
  }
  for (const GroupIndex group : config.wildcards) {
    if (auto captures = match_wildcard(config.at(group).name, requested)) {
      return ModelMatch{group, std::move(*captures)};
    }
  }
  return std::nullopt;
}

std::string substitute(std::string_view pattern, const std::vector<std::string>& captures) {
  if (captures.empty()) return std::string(pattern);
  std::string result;
  auto next = captures.begin();
  for (const char c : pattern) {
    if (c == '*' && next != captures.end()) {
      result += *next++;
    } else {
      result += c;
    }
  }
  return result;
}

}  // namespace spillway
