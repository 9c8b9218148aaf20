// "Did you mean": the known name nearest to a misspelt one.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace spillway::config {

// Insertions, deletions, substitutions and swaps of neighbours that turn one into the other; ASCII
// case is free.
std::size_t edit_distance(std::string_view a, std::string_view b);

// The nearest of `known` within `most` edits, else "". The default allows a third of the name's
// length.
std::string_view nearest(std::string_view name, std::span<const std::string_view> known);
std::string_view nearest(std::string_view name, std::span<const std::string_view> known,
                         std::size_t most);

// "; did you mean \"x\"?", or "" when nothing is near.
std::string did_you_mean(std::string_view name, std::span<const std::string_view> known);

}  // namespace spillway::config
