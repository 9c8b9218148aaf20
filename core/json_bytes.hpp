// The two byte-level questions of the JSON scanner's hot path: where a string stops being plain,
// and where a run of non-ASCII text ends. Bodies are megabytes of string; everything else about
// them is cheap.
#pragma once

namespace spillway {

// The first byte in [at, end) that is '"', '\', below 0x20 or not ASCII; `end` if there is none.
const char* find_special_byte(const char* at, const char* end);

// [at, end) starts with a non-ASCII byte. One past the last byte of the run of valid UTF-8
// sequences there, or nullptr with `bad` set to the first byte of the sequence that is not valid.
const char* pass_non_ascii(const char* at, const char* end, const char*& bad);

// Length of the UTF-8 sequence at `at` (1 to 4), or 0 if it is not valid.
int utf8_length(const char* at, const char* end);

}  // namespace spillway
