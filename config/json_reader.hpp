// JSON text to a Node tree with lines and columns.
//
// nlohmann/json decides whether the text is JSON; a small reader then walks the text, which it may
// trust, for the positions that nlohmann does not keep.
#pragma once

#include <optional>
#include <string_view>

#include "config/node.hpp"

namespace spillway::config {

// nullopt only after a fault has been reported. Paths are not assigned yet.
std::optional<Node> read_json(std::string_view text, std::uint32_t file, Report& report);

}  // namespace spillway::config
