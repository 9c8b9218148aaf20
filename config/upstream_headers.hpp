// Headers that a deployment adds to every upstream request, and the check that they can be sent at
// all.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/config.hpp"

namespace spillway::config {

// Why the header cannot be sent, or "". The value is never part of the answer.
std::string header_fault(std::string_view name, std::string_view value);

// Why the header is left out although nothing is wrong with it, or "".
std::string header_left_out(std::string_view name);

// Adds or replaces, by name without case.
void set_header(std::vector<UpstreamHeader>& headers, std::string_view name, std::string value);

}  // namespace spillway::config
