// What the access log needs of the logging library; server/log.cpp is the only file that includes
// it.
#pragma once

#include <cstdint>
#include <string_view>

namespace spillway::server {

// Queues a line for stdout, without waiting. Any thread.
void queue_stdout_line(std::string_view line);

// Lines for stdout that were dropped from the full queue.
std::uint64_t dropped_stdout_lines();

}  // namespace spillway::server
