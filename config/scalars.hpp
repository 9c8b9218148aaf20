// Reads single values: booleans, numbers, sizes and times, as YAML 1.1 and LiteLLM's files write
// them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "config/node.hpp"
#include "core/time.hpp"

namespace spillway::config {

// true/false, yes/no, on/off in YAML 1.1's spellings.
std::optional<bool> parse_boolean(std::string_view text);

// Decimal with `_` between digits ("80_000"), or 0x hexadecimal.
std::optional<std::uint64_t> parse_count(std::string_view text);

// A finite decimal number.
std::optional<double> parse_number(std::string_view text);

// "32MiB", "64 KiB", "1GiB"; a bare number is bytes.
std::optional<std::uint64_t> parse_size(std::string_view text);

// "250ms", "5s", "2m", "1h"; a bare number is seconds, as everywhere in LiteLLM. At most a year.
std::optional<Duration> parse_time(std::string_view text);

// "5 s", "250 ms": for messages.
std::string format_time(Duration duration);

// The JSON text of a scalar: a plain one keeps its type, a quoted one is a string. `text` is what
// the node's text became. nullopt: a number that JSON does not have (.inf, .nan).
std::optional<std::string> scalar_json(const Node& node, std::string_view text);

}  // namespace spillway::config
