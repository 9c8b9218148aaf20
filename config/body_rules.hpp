// What a deployment changes in a request body: its provider's mappings and limits, and the
// parameters of its entry that nothing else has consumed.
#pragma once

#include <cstdint>

#include "config/providers.hpp"
#include "config/section.hpp"
#include "core/config.hpp"

namespace spillway::config {

enum class DropParams : std::uint8_t { no, yes };

// Reads the rest of `params`: everything that is left there is for the provider. Call it last.
BodyRules read_body_rules(Section& params, const Provider& provider, DropParams drop,
                          Context& context);

}  // namespace spillway::config
