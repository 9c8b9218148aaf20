// References to the environment inside configuration values.
//
// `os.environ/NAME` is a whole value (LiteLLM's form); `${NAME}` may stand anywhere in a value, and
// `$${NAME}` is a literal `${NAME}`. Values are resolved where they are read, never in the tree, so
// that deployment ids are made from names and not from secrets.
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/variables.hpp"

namespace spillway::config {

struct MissingVariable {
  std::string name;
};

std::expected<std::string, MissingVariable> substitute_environment(std::string_view text,
                                                                   const Variables& variables);

// True if the text refers to the environment at all.
bool refers_to_environment(std::string_view text);

// The first of the names that is set.
std::optional<std::string> first_variable(const Variables& variables,
                                          const std::vector<std::string>& names);

}  // namespace spillway::config
