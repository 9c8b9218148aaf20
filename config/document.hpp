// Files: reads a configuration file with everything it includes into one tree.
//
// `include` is LiteLLM's: a list of files beside the including one; their lists are appended, their
// other keys replace.
#pragma once

#include <expected>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "config/node.hpp"

namespace spillway::config {

// The text of a regular file, or of what a link to one leads to; or why there is none ("does not
// exist"). At most kMaxFileBytes. Does not wait for anybody to write.
std::expected<std::string, std::string> read_text(const std::filesystem::path& path);

// JSON if the name ends in .json or the text starts as JSON, else YAML. nullopt only after a fault.
std::optional<Node> read_tree(std::string_view text, std::uint32_t file, Report& report);

// Root of a configuration: a map with its includes merged and its paths assigned. `directory` is
// what relative includes start from. nullopt only after a fault.
std::optional<Node> read_document(std::string_view text, std::string_view name,
                                  const std::filesystem::path& directory, Report& report);

}  // namespace spillway::config
