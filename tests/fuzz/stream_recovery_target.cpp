// A stream that breaks and is continued by another deployment: the client ends up with exactly the
// text that the second deployment gave, under one completion id, or without a [DONE].
//
// The input is the first stream up to where it is cut, a byte 0x1D, and the second stream.
#include <nlohmann/json.hpp>
#include <set>

#include "core/bounds.hpp"
#include "core/stream_relay.hpp"
#include "core/stream_transcript.hpp"
#include "fuzz.hpp"
#include "json_reference.hpp"
#include "sse_reference.hpp"

namespace spillway {
namespace {

using fuzz::expect;
using nlohmann::json;

struct Answer {
  std::string text;
  std::set<std::string> ids;
  bool plain = true;  // every event is read the same by nlohmann/json
};

// What a client makes of a chat stream.
Answer read_answer(std::string_view stream) {
  Answer answer;
  for (const fuzz::ReferenceEvent& event : fuzz::read_events(stream)) {
    if (is_stream_done(event.data)) break;
    const auto checked = fuzz::read_reference(event.data);
    if (!checked || checked->repeated_key) {
      answer.plain = false;
      continue;
    }
    const json chunk = json::parse(event.data);
    if (!chunk.is_object()) continue;
    if (const auto id = chunk.find("id"); id != chunk.end() && id->is_string())
      answer.ids.insert(id->get<std::string>());
    const json choices = chunk.value("choices", json());
    if (!choices.is_array()) continue;
    for (const json& choice : choices) {
      const json delta = choice.is_object() ? choice.value("delta", json()) : json();
      const json content = delta.is_object() ? delta.value("content", json()) : json();
      if (content.is_string()) answer.text += content.get<std::string>();
    }
  }
  return answer;
}

struct Leg {
  StreamState state{};
  std::string output;
};

Leg relay_leg(std::string_view stream, StreamTranscript* transcript, bool to_its_end) {
  StreamRelay relay(StreamDialect::chat, transcript);
  auto random = fuzz::random_of(stream);
  Leg leg;
  const auto take_output = [&] {
    for (const std::string_view piece : relay.output()) leg.output.append(piece);
    relay.clear_output();
  };
  for (const std::string_view piece : fuzz::cut(stream, random)) {
    relay.feed(piece);
    take_output();
  }
  if (to_its_end) relay.finish();
  take_output();
  leg.state = relay.state();
  return leg;
}

void check(std::string_view first, std::string_view second) {
  StreamTranscript transcript;
  transcript.begin_leg(Resume::no);
  const Leg broken = relay_leg(first, &transcript, false);
  if (broken.state != StreamState::relaying || !transcript.resumable()) return;
  const Answer sent = read_answer(broken.output);
  if (!sent.plain) return;
  expect(sent.text == transcript.text(), "the transcript holds what was sent");

  transcript.begin_leg(Resume::afresh);
  const Leg resumed = relay_leg(second, &transcript, true);
  const Answer whole = read_answer(broken.output + resumed.output);
  const Leg alone = relay_leg(second, nullptr, true);
  const Answer wanted = read_answer(alone.output);
  if (!whole.plain || !wanted.plain) return;
  if (resumed.state == StreamState::complete) {
    expect(alone.state == StreamState::complete, "what completes here completes anywhere");
    expect(whole.text == wanted.text, "no character twice, none missing");
    if (sent.ids.size() == 1) expect(whole.ids == sent.ids, "one completion id");
  } else {
    const auto events = fuzz::read_events(resumed.output);
    expect(
        std::ranges::none_of(events, [](const auto& event) { return is_stream_done(event.data); }),
        "a failed stream does not look complete");
    expect(transcript.text().starts_with(sent.text) || !transcript.resumable(), "never unsaid");
  }
}

}  // namespace
}  // namespace spillway

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace spillway;
  std::string_view second = fuzz::as_text(data, size);
  const std::string_view first = fuzz::take_until(second, "\x1D");
  check(first, second);
  return 0;
}
