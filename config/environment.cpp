#include "config/environment.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

namespace spillway::config {

namespace {

constexpr std::string_view kLitellmPrefix = "os.environ/";
constexpr std::string_view kBegin = "${";
constexpr std::string_view kEscaped = "$${";

// How much of the text's beginning can be a variable's name.
std::size_t name_length(std::string_view text) {
  const auto letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  };
  if (text.empty() || !letter(text.front())) return 0;
  const auto end =
      std::ranges::find_if_not(text, [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
  return static_cast<std::size_t>(end - text.begin());
}

// The name in a `${NAME}` that starts at `at`, or "" if there is none.
std::string_view name_at(std::string_view text, std::size_t at) {
  if (!text.substr(at).starts_with(kBegin)) return {};
  const std::string_view rest = text.substr(at + kBegin.size());
  const std::size_t length = name_length(rest);
  return rest.substr(length).starts_with('}') ? rest.substr(0, length) : std::string_view{};
}

// Where each `${` stands that is not escaped.
std::vector<std::size_t> references(std::string_view text) {
  std::vector<std::size_t> out;
  for (std::size_t at = text.find(kBegin); at != std::string_view::npos;
       at = text.find(kBegin, at + kBegin.size())) {
    if (at == 0 || text[at - 1] != '$') out.push_back(at);
  }
  return out;
}

}  // namespace

std::optional<std::string> first_variable(const Variables& variables,
                                          const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (auto value = variables.find(name)) return value;
  }
  return std::nullopt;
}

std::expected<std::string, MissingVariable> substitute_environment(std::string_view text,
                                                                   const Variables& variables) {
  if (text.starts_with(kLitellmPrefix)) {
    const std::string_view name = text.substr(kLitellmPrefix.size());
    if (auto value = variables.find(name)) return *value;
    return std::unexpected(MissingVariable{std::string(name)});
  }
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    if (text.substr(at).starts_with(kEscaped)) {
      out += kBegin;
      at += kEscaped.size();
    } else if (const std::string_view name = name_at(text, at); !name.empty()) {
      const auto value = variables.find(name);
      if (!value) return std::unexpected(MissingVariable{std::string(name)});
      out += *value;
      at += name.size() + 3;
    } else {
      out += text[at++];
    }
  }
  return out;
}

std::string malformed_reference(std::string_view text) {
  if (text.starts_with(kLitellmPrefix)) return {};
  for (const std::size_t at : references(text)) {
    if (!name_at(text, at).empty()) continue;
    const std::string_view rest = text.substr(at + kBegin.size());
    const std::size_t end = rest.find('}');
    const std::size_t name = name_length(rest);
    std::string_view wrong = "holds a ${...} that is no ${NAME}";
    if (end == std::string_view::npos)
      wrong = "holds a ${ without its }";
    else if (end == 0)
      wrong = "holds ${}, which names no variable";
    else if (name > 0 && name < end)
      wrong = "holds a ${...} with something behind the name, but knows no defaults or operators";
    return fmt::format("{}; write $${{ where ${{ is meant as it stands", wrong);
  }
  return {};
}

std::string told_source(std::string_view text, const Variables& variables) {
  std::vector<std::string> sources;
  if (text.starts_with(kLitellmPrefix)) {
    sources.push_back(variables.source(text.substr(kLitellmPrefix.size())));
  } else {
    for (const std::size_t at : references(text))
      if (const auto name = name_at(text, at); !name.empty())
        sources.push_back(variables.source(name));
  }
  if (sources.empty()) return {};
  return fmt::format("; the value comes from {}", fmt::join(sources, " and "));
}

Environment process_environment() {
  Environment out;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos || equals == 0) continue;
    out.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return out;
}

}  // namespace spillway::config
