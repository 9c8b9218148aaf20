// The bytes that the scripted upstream answers with: one JSON completion, and the events of a
// stream. The text of every event is the time at which it was sent, so that the load generator can
// tell how long it was on its way; all else of it stays the same throughout a stream.

#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace spillway::bench {

// Before the time in an event, in nanoseconds, which is written with kTimeDigits digits.
inline constexpr std::string_view kTimeMark = "\"content\":\"";
inline constexpr std::size_t kTimeDigits = 20;

// A complete answer: head, and a JSON body of 500 bytes.
const std::string& plain_answer();
// The same with a body of so many bytes, or a few more.
std::string answer_of(std::size_t body_bytes);
// A complete answer with an error of this status.
std::string failure(std::uint64_t status);
// The head of a stream in chunked coding.
const std::string& stream_head();
// One event as a chunk, with the time put in.
void append_event(std::string& out, std::uint64_t sent_ns);
// The closing event, `data: [DONE]` and the last chunk.
const std::string& stream_end();

}  // namespace spillway::bench
