// The byte-level questions of every head's hot path, answered sixteen bytes at a time: where a line
// stops being text, and where a name stops being plain.
#pragma once

namespace spillway::http {

// The first byte in [at, end) that http::is_forbidden, so a CR and an LF too; `end` if there is
// none.
const char* find_forbidden(const char* at, const char* end);

// Past bytes in [at, end) that are ASCII letters, digits, '-' or '.': as many as are quick to tell,
// perhaps none. The caller looks at the rest one by one.
const char* pass_plain_name(const char* at, const char* end);

// The same where '/' is plain as well.
const char* pass_plain_path(const char* at, const char* end);

}  // namespace spillway::http
