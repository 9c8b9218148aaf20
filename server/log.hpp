// The program's own log, on stderr. A thin cover, so that the logging library's headers are
// compiled in one place.
//
// Calls never wait for the reader of stderr: lines go through a bounded queue, whose oldest are
// dropped when it is full. Any thread. Lines are about the gateway; requests have the access log.
// No secrets, no bodies.
#pragma once

#include <cstdint>
#include <string_view>

namespace spillway::server {

enum class LogLevel : std::uint8_t { debug, info, warn, error };

void set_log_level(LogLevel level);  // the lowest that is written; info at start

bool debug_log_wanted();                   // so that lines nobody reads need not be made
void log_debug(std::string_view message);  // per request
void log_info(std::string_view message);
void log_warn(std::string_view message);   // an operator should look
void log_error(std::string_view message);  // a bug or lost data

// Writes out what is queued, here and in the access log, and ends the writing thread. Once, at the
// end of main; lines logged later are lost.
void shut_down_logs();

}  // namespace spillway::server
