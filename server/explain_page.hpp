// GET /router/explain?model=NAME and `spillway explain --model NAME`: what would happen to a
// request now, and why. No secrets; no upstream is called.
#pragma once

#include <string>
#include <string_view>

#include "core/config.hpp"
#include "core/explain.hpp"
#include "server/answer.hpp"
#include "server/snapshot.hpp"

namespace spillway::server {

// `query` is that of the request: `model` (wanted), `endpoint` ("/chat/completions"), `stream`,
// `tags` (with commas), and `if` (the error class that every rehearsed call ends in; without it the
// first call succeeds).
Answer explain_page(const Snapshot& snapshot, std::string_view query, Random& random,
                    TimePoint now);

// The same for a terminal; lines end in LF.
std::string explain_text(const Config& config, const Explanation& explanation);

// The error class called `text`, or nullopt.
std::optional<ErrorClass> error_class_called(std::string_view text);
// What is told to somebody who asked for another: all of them.
std::string not_an_error_class(std::string_view text);

}  // namespace spillway::server
