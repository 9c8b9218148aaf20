// The `spillway:` section: everything that is Spillway's own and LiteLLM ignores.
#pragma once

#include "config/section.hpp"
#include "core/config.hpp"

namespace spillway::config {

void read_spillway_section(const Node& root, Context& context, Config& config);

}  // namespace spillway::config
