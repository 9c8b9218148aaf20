// Percent escapes of URLs (RFC 3986 section 2.1).
#pragma once

#include <string>
#include <string_view>

namespace spillway::server {

// A '%' without two digits stands for itself.
std::string percent_decoded(std::string_view text);

// Everything but letters, digits and -._~ is escaped.
std::string percent_encoded(std::string_view text);

}  // namespace spillway::server
