// Finds whole server-sent events in a byte stream, as the WHATWG event-stream rules say: lines end
// in CR, LF or CRLF, one BOM may lead, comments and unknown fields are allowed, `data` may take
// several lines.
//
// Where an event ends does not depend on how the stream was cut into reads. That leaves one
// question, whether an LF behind a blank line's CR belongs to it, to the line before: after a line
// that ended in a bare CR the event ends at the CR (such a stream has no LF to wait for; if one
// comes, it leads the next event); otherwise the next byte decides.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace spillway {

// Where the first CR or LF of `text` stands; its size if there is none.
std::size_t find_line_end(std::string_view text);

struct SseEvent {
  std::size_t bytes = 0;  // length of the raw event, its blank line included
  bool has_data = false;  // false: comments, id or retry only
  std::string_view data;  // lines joined by LF; into the raw bytes or into `joined` of the scanner
  std::string_view type;  // the `event` field; empty: "message"
};

// Finds the end of each event, byte by byte, without needing what came before.
class SseBoundary {
 public:
  // `more` follows what was given before. The number of its bytes up to the current event's end, or
  // nullopt if the event goes on. 0 means that the event ended with the bytes given before. The
  // next event starts there.
  std::optional<std::size_t> find(std::string_view more);

  // True if what comes next begins an event, whatever came before.
  bool at_event() const { return line_empty_ && !after_cr_ && !blank_cr_; }

  // True if the event has ended unless an LF follows.
  bool waits_for_lf() const { return blank_cr_; }

 private:
  bool line_empty_ = true;  // nothing of the current line was seen
  bool after_cr_ = false;   // the byte before was a CR; an LF belongs to it
  bool blank_cr_ = false;   // likewise, and the CR ended a blank line
  bool bare_cr_ = false;    // the last line ended in a CR alone
};

class SseScanner {
 public:
  // The first whole event of `pending`, which starts at an event's first byte (or at the stream's
  // first byte). nullopt: no event is complete yet; call again with the same bytes and more behind
  // them (what was searched is not searched again). Once an event was returned, the next call
  // starts behind it. The event's views are valid until the next call.
  std::optional<SseEvent> next(std::string_view pending);

  // For an event too large to keep: the number of bytes of `more` up to its end, as
  // SseBoundary::find. The bytes that were given to next() are not to be given again.
  std::optional<std::size_t> skip(std::string_view more);

  // The stream ended behind `pending`: the event there if it is complete for that reason, without
  // its blank line too if `unterminated` is asked for.
  enum class AtEnd : bool { terminated, unterminated };
  std::optional<SseEvent> last(std::string_view pending, AtEnd wanted);

 private:
  std::optional<SseEvent> single_line(std::string_view pending);
  SseEvent parse(std::string_view raw);

  SseBoundary boundary_;
  std::size_t searched_ = 0;  // bytes of the current event already looked at
  bool at_start_ = true;      // a BOM may come
  std::string joined_;
};

}  // namespace spillway
