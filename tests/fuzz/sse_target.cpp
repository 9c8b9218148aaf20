// Event streams: the same events however the stream is cut into reads, and those that the WHATWG
// rules give for the stream as a whole.
#include "core/sse.hpp"
#include "fuzz.hpp"
#include "sse_reference.hpp"

namespace spillway {
namespace {

using fuzz::expect;

struct Seen {
  std::size_t bytes;
  bool has_data;
  std::string data, type;
  bool operator==(const Seen&) const = default;
};

struct Stream {
  std::vector<Seen> events;
  std::size_t left = 0;  // bytes of the unfinished event
  bool ended = false;    // that event only waits to see whether an LF follows
  bool operator==(const Stream&) const = default;
};

Stream scan(const std::vector<std::string_view>& pieces) {
  SseScanner scanner;
  Stream stream;
  std::string pending;
  for (const std::string_view piece : pieces) {
    pending += piece;
    while (const std::optional<SseEvent> event = scanner.next(pending)) {
      stream.events.push_back(
          {event->bytes, event->has_data, std::string(event->data), std::string(event->type)});
      expect(event->bytes <= pending.size(), "an event has arrived");
      pending.erase(0, event->bytes);
    }
  }
  stream.left = pending.size();
  if (const auto event = scanner.last(pending, SseScanner::AtEnd::terminated)) {
    stream.ended = true;
    stream.events.push_back(
        {event->bytes, event->has_data, std::string(event->data), std::string(event->type)});
  }
  return stream;
}

std::vector<fuzz::ReferenceEvent> with_data(const Stream& stream) {
  std::vector<fuzz::ReferenceEvent> events;
  for (const Seen& seen : stream.events)
    if (seen.has_data) events.push_back({seen.data, seen.type});
  return events;
}

// Events too large to keep are passed over by their ends alone.
void compare_boundaries(const std::vector<std::string_view>& pieces, const Stream& stream) {
  SseBoundary boundary;
  std::vector<std::size_t> lengths;
  std::size_t length = 0;
  for (std::string_view piece : pieces) {
    while (const auto end = boundary.find(piece)) {
      lengths.push_back(length + *end);
      length = 0;
      piece.remove_prefix(*end);
    }
    length += piece.size();
  }
  const std::size_t whole = stream.events.size() - (stream.ended ? 1 : 0);
  expect(lengths.size() == whole, "as many ends as events");
  for (std::size_t i = 0; i < whole; ++i)
    expect(lengths[i] == stream.events[i].bytes, "where the events end");
}

}  // namespace
}  // namespace spillway

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace spillway;
  const std::string_view text = fuzz::as_text(data, size);
  auto random = fuzz::random_of(text);
  const Stream once = scan({text});
  const auto pieces = fuzz::cut(text, random);
  fuzz::expect(once == scan(pieces), "however it arrives");
  fuzz::expect(with_data(once) == fuzz::read_events(text), "the events that the rules give");
  compare_boundaries(pieces, once);
  return 0;
}
