// What a Connection field names is for one hop only and must not be passed on (RFC 9110
// section 7.6.1).
#pragma once

#include <string_view>

#include "core/outcome.hpp"

namespace spillway::server {

// Without regard to letter case.
bool named_in_connection(Headers headers, std::string_view name);

}  // namespace spillway::server
