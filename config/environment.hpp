// References to the environment inside configuration values.
//
// `os.environ/NAME` is a whole value (LiteLLM's form); `${NAME}` may stand anywhere in a value, and
// `$${` is a literal `${`. Values are resolved where they are read, never in the tree, so
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

// What is wrong with the text's first `${` that begins no reference and is taken as it stands, such
// as that of `${NAME:-default}`; empty: there is none. Repeats nothing of the text.
std::string malformed_reference(std::string_view text);

// "; the value comes from NAME_FILE" of a text that refers to the environment, for messages about
// values that they must not show; else empty.
std::string told_source(std::string_view text, const Variables& variables);

// The first of the names that is set.
std::optional<std::string> first_variable(const Variables& variables,
                                          const std::vector<std::string>& names);

}  // namespace spillway::config
