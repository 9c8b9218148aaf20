// YAML text to a Node tree, on yaml-cpp's event interface.
//
// Duplicate keys, keys that are not plain text, unknown tags, cycles and more than one document are
// faults; merge keys
// (`<<: *defaults`) work as in YAML 1.1, which LiteLLM's reader implements. Size and depth are
// bounded.
#pragma once

#include <optional>
#include <string_view>

#include "config/node.hpp"

namespace spillway::config {

// nullopt only after a fault has been reported; an empty text is an empty map. Paths are not
// assigned yet.
std::optional<Node> read_yaml(std::string_view text, std::uint32_t file, Report& report);

}  // namespace spillway::config
