// The one JSON checker that bodies and events go through, beside nlohmann/json: both must accept
// the same texts, except for what is known and wanted (core/json_scan.hpp).
#include "core/body.hpp"
#include "core/bounds.hpp"
#include "core/event_pattern.hpp"
#include "core/json_bytes.hpp"
#include "core/stream_event.hpp"
#include "fuzz.hpp"
#include "json_reference.hpp"
#include "tests/event_facts.hpp"

namespace spillway {
namespace {

using fuzz::expect;

// nlohmann/json refuses halves of surrogate pairs, and numbers without a double.
bool has_surrogate_escape(std::string_view text) {
  for (std::size_t at = text.find("\\u"); at != std::string_view::npos;
       at = text.find("\\u", at + 1))
    if (at + 3 < text.size() && (text[at + 2] | 0x20) == 'd' && text[at + 3] > '7') return true;
  return false;
}

void compare_verdicts(std::string_view text) {
  fuzz::JsonReader reference;
  const bool accepted = nlohmann::json::sax_parse(text, &reference);
  const bool ours = is_json(text);
  if (accepted && !ours) {
    const bool mark = text.starts_with("\xEF\xBB\xBF");
    const bool nul = text.find('\0') != std::string_view::npos;  // an end of text to nlohmann/json
    expect(mark || nul || reference.deepest > bounds::kJsonDepth, "what is JSON is accepted");
  }
  if (ours && !accepted)
    expect(reference.out_of_range || has_surrogate_escape(text), "what is not JSON is refused");
  expect(read_event(text).has_value() == ours, "events are checked like bodies");
}

// A line that is known from the one before says what reading it says.
void compare_lines(std::string_view text) {
  const std::size_t line_end = text.find('\n');
  if (line_end == std::string_view::npos) return;
  const std::string_view first = text.substr(0, line_end), next = text.substr(line_end + 1);
  const auto learned = read_event(first);
  if (!learned) return;
  EventPattern pattern;
  pattern.learn(first, *learned);
  const auto known = pattern.match(next);
  if (!known) return;
  const auto read = read_event(next);
  expect(read.has_value(), "only JSON is known");
  expect(same_facts(*known, *read), "an event that is known says what reading it says");
}

// Byte by byte, what quote() must make of a text: every invalid byte is replaced on its own.
std::string repaired(std::string_view text) {
  std::string out;
  const char* end = text.data() + text.size();
  for (const char* at = text.data(); at != end;) {
    const int length = utf8_length(at, end);
    if (length == 0)
      out.append("\xEF\xBF\xBD");
    else
      out.append(at, static_cast<std::size_t>(length));
    at += std::max(length, 1);
  }
  return out;
}

void check_strings(std::string_view text) {
  const std::string literal = quote(text);
  expect(is_json(literal), "a quoted text is JSON");
  const std::string valid = repaired(text);
  expect(unescape(literal) == valid, "unescape undoes quote");
  expect(nlohmann::json::parse(literal).get<std::string>() == valid, "as nlohmann reads it");

  const std::optional<std::string> ours = unescape(text);
  if (!ours) return;
  expect(text.starts_with('"') && text.ends_with('"') && is_json(text), "only of a string");
  const auto theirs = nlohmann::json::parse(text, nullptr, false);
  if (theirs.is_discarded())
    expect(has_surrogate_escape(text), "only halves of pairs differ");
  else
    expect(*ours == theirs.get<std::string>(), "escapes mean the same");
}

}  // namespace
}  // namespace spillway

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = spillway::fuzz::as_text(data, size);
  spillway::compare_verdicts(text);
  spillway::compare_lines(text);
  spillway::check_strings(text);
  return 0;
}
