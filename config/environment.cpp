#include "config/environment.hpp"

#include <unistd.h>

#include <algorithm>

namespace spillway::config {

namespace {

constexpr std::string_view kLitellmPrefix = "os.environ/";

bool is_name(std::string_view text) {
  const auto letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  };
  return !text.empty() && letter(text.front()) &&
         std::all_of(text.begin(), text.end(),
                     [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

// The name in a `${NAME}` that starts at `at`, or "" if there is none.
std::string_view name_at(std::string_view text, std::size_t at) {
  if (text.substr(at, 2) != "${") return {};
  const std::size_t end = text.find('}', at);
  if (end == std::string_view::npos) return {};
  const std::string_view name = text.substr(at + 2, end - at - 2);
  return is_name(name) ? name : std::string_view{};
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
    if (text[at] == '$' && at + 1 < text.size() && !name_at(text, at + 1).empty()) {
      const std::size_t length = name_at(text, at + 1).size() + 3;
      out += text.substr(at + 1, length);
      at += length + 1;
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

bool refers_to_environment(std::string_view text) {
  if (text.starts_with(kLitellmPrefix)) return true;
  for (std::size_t at = text.find('$'); at != std::string_view::npos; at = text.find('$', at + 1)) {
    if (!name_at(text, at).empty()) return true;
  }
  return false;
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
