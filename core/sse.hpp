// Finds whole server-sent events in a byte stream, as the WHATWG event-stream rules say: lines end in CR, LF or CRLF,
// one BOM may lead, comments and unknown fields are allowed, `data` may take several lines.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace spillway {

struct SseEvent {
  std::size_t bytes = 0;   // length of the raw event, its blank line included
  bool has_data = false;   // false: comments, id or retry only
  std::string_view data;   // lines joined by LF; into the raw bytes or into `joined` of the scanner
  std::string_view type;   // the `event` field; empty: "message"
};

class SseScanner {
 public:
  // The first whole event of `pending`, which starts at an event's first byte (or at the stream's first byte).
  // nullopt: no event is complete yet; call again with the same bytes and more behind them (what was searched is not
  // searched again). Once an event was returned, the next call starts behind it. A CR that is the last byte
  // leaves open whether an LF follows: the event is complete, and a leading LF of the next call belongs to it
  // (SseEvent::bytes of the *next* event includes it).
  std::optional<SseEvent> next(std::string_view pending);

 private:
  std::size_t searched_ = 0;    // bytes of the current event already looked at
  bool at_start_ = true;        // a BOM may come
  bool swallow_lf_ = false;     // the last event ended in a bare CR
  std::string joined_;
};

}  // namespace spillway
