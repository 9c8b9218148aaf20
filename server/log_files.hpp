// Where the two logs are written: files in place of the standard streams, which are opened anew
// after somebody renamed them (logrotate). Lines that are queued meanwhile go to the one or the
// other; none is lost. Main thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "server/log.hpp"

namespace spillway::server {

// Appends to `path` from now on; empty: to the standard error, or the standard output. Returns why
// the file cannot be opened, and then nothing changes; else an empty text.
std::string use_log_file(const std::string& path);
std::string use_access_log_file(const std::string& path);

// Why the file could not be opened so, or an empty text. Leaves no file behind.
std::string log_file_problem(const std::string& path);

// What whoever starts the program has to know: on the standard error at once, and in the program's
// own log where that has a file.
void tell_operator(LogLevel level, std::string_view message);

// Opens both again by their names. What cannot be opened goes on as it was; a line each says so.
std::vector<std::string> reopen_log_files();

}  // namespace spillway::server
