// A provider's event stream as it is relayed: the same whatever the reads, and never an answer that
// looks complete and is not.
//
// The input's first byte chooses the dialect, the rest is the stream; a byte 0x02 in it stands for
// more than an event may hold.
#include "core/body.hpp"
#include "core/bounds.hpp"
#include "core/stream_relay.hpp"
#include "fuzz.hpp"
#include "sse_reference.hpp"

namespace spillway {
namespace {

using fuzz::expect;

struct Relayed {
  StreamState state{};
  std::string output;
  std::string failure;
  TokenUsage usage;
  std::uint64_t events = 0, dropped = 0;
  bool terminal_relayed = false;

  bool operator==(const Relayed& other) const {
    return state == other.state && output == other.output && failure == other.failure &&
           usage.known == other.usage.known && usage.prompt == other.usage.prompt &&
           usage.completion == other.usage.completion && events == other.events &&
           dropped == other.dropped && terminal_relayed == other.terminal_relayed;
  }
};

std::string text_of(const AttemptOutcome& outcome) {
  if (const auto* violation = std::get_if<ProtocolViolation>(&outcome)) return violation->detail;
  if (const auto* error = std::get_if<InBandError>(&outcome)) return std::string(error->body);
  expect(false, "a stream fails by an error inside it or by a violation");
  return {};
}

void take_output(StreamRelay& relay, std::string& output) {
  for (const std::string_view piece : relay.output()) output.append(piece);
  relay.clear_output();
}

Relayed relay_all(StreamDialect dialect, const std::vector<std::string_view>& pieces) {
  StreamRelay relay(dialect);
  Relayed relayed;
  for (const std::string_view piece : pieces) {
    // In memory of its own, so that a view kept too long is found.
    const std::string read(piece);
    relay.feed(read);
    if (relay.state() == StreamState::holding) expect(relay.output().empty(), "held means held");
    take_output(relay, relayed.output);
    // Two strings that grow by doubling.
    expect(relay.memory() <= 4 * (bounds::kEventBytes + bounds::kHeldStreamBytes), "bounded");
  }
  relayed.state = relay.finish();
  take_output(relay, relayed.output);
  expect(!relay.open(), "a stream that has ended is complete or failed");
  if (relayed.state == StreamState::failed) relayed.failure = text_of(relay.failure());
  relayed.usage = relay.usage();
  relayed.events = relay.events();
  relayed.dropped = relay.dropped_events();
  relayed.terminal_relayed = relay.terminal_relayed();
  return relayed;
}

bool says_done(const fuzz::ReferenceEvent& event) {
  return is_stream_done(event.data);
}

// The client's view of what was put out.
void check_honesty(StreamDialect dialect, const Relayed& relayed) {
  const auto events = fuzz::read_events(relayed.output);
  const bool complete = relayed.state == StreamState::complete;
  switch (dialect) {
    case StreamDialect::chat:
    case StreamDialect::completions:
      expect(std::ranges::count_if(events, says_done) == (complete ? 1 : 0),
             "[DONE] says that the answer is complete, and nothing else does");
      if (complete) expect(says_done(events.back()), "nothing follows [DONE]");
      break;
    case StreamDialect::responses:
      if (complete) expect(!events.empty(), "a terminal event was put out");
      break;
    case StreamDialect::framing:
      break;
  }
  for (const fuzz::ReferenceEvent& event : events)
    expect(says_done(event) || is_json(event.data), "only JSON is relayed");
}

}  // namespace
}  // namespace spillway

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace spillway;
  if (size == 0) return 0;
  const auto dialect = static_cast<StreamDialect>(data[0] % 4);
  std::string stream;
  int expanded = 0;
  for (const char c : fuzz::as_text(data + 1, size - 1)) {
    if (c == '\x02' && ++expanded <= 2)
      stream.append(bounds::kEventBytes, 'x');
    else
      stream.push_back(c);
  }
  auto random = fuzz::random_of(stream);
  const Relayed once = relay_all(dialect, {stream});
  fuzz::expect(once == relay_all(dialect, fuzz::cut(stream, random)), "however it arrives");
  if (expanded == 0) check_honesty(dialect, once);
  return 0;
}
