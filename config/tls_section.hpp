// spillway.tls: how clients are spoken to where they are to be encrypted.
#pragma once

#include <optional>

#include "config/section.hpp"
#include "core/config.hpp"

namespace spillway::config {

// nullopt: plain text, which only a configuration without the key means. Whatever stands there
// without being understood is a fault.
std::optional<TlsSettings> read_tls(Section& spillway, Context& context);

}  // namespace spillway::config
