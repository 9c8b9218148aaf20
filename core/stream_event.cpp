#include "core/stream_event.hpp"

#include <algorithm>
#include <charconv>
#include <limits>

#include "core/ascii.hpp"
#include "core/bounds.hpp"
#include "core/json_scan.hpp"

namespace spillway {

namespace {

// Null, and what some serialisers write for "nothing": false, "", [], {}.
bool says_nothing(std::string_view value) {
  if (same(value, "null") || same(value, "false") || same(value, "\"\"")) return true;
  const bool container = value.starts_with('{') || value.starts_with('[');
  return container && value.find_first_not_of(" \t\r\n", 1) == value.size() - 1;
}

// One beyond 64 bits is the most that fits.
std::optional<std::uint64_t> read_count(std::string_view value) {
  if (const auto number = ascii::short_number(value)) return number;
  std::uint64_t count = 0;
  const char* end = value.data() + value.size();
  const auto [at, status] = std::from_chars(value.data(), end, count);
  if (at != end || status == std::errc::invalid_argument) return std::nullopt;
  if (status == std::errc::result_out_of_range) return std::numeric_limits<std::uint64_t>::max();
  return count;
}

class EventReader {
 public:
  EventReader(std::string_view json, EventFacts& facts) : cursor_(json), facts_(facts) {}

  // False: the text is not JSON.
  bool read() {
    if (cursor_.peek() == JsonType::array) {
      array_of_one();
    } else if (cursor_.enter_object()) {
      facts_.object = true;
      object();
    } else {
      cursor_.skip();
    }
    return cursor_.finish();
  }

 private:
  // Gemini wraps its error object in an array.
  void array_of_one() {
    cursor_.enter_array();
    bool first = true;
    while (cursor_.next_element()) {
      if (first && cursor_.enter_object()) {
        object();
      } else {
        cursor_.skip();
      }
      first = false;
    }
    const bool error = facts_.error;
    facts_ = {};
    facts_.error = error;
  }

  std::string_view value() {
    const std::size_t begin = cursor_.offset();
    cursor_.skip();
    return cursor_.since(begin);
  }

  std::string_view string_value() {
    JsonString text;
    if (cursor_.peek() == JsonType::string) {
      cursor_.read_string(text);
    } else {
      cursor_.skip();
    }
    return text.raw;
  }

  // With its quotes; empty if the value is not a string.
  std::string_view string_literal() {
    const bool string = cursor_.peek() == JsonType::string;
    const std::string_view literal = value();
    return string ? literal : std::string_view();
  }

  static std::string_view member(const JsonString& key, std::string_view literal) {
    const char* begin = key.raw.data() - 1;  // of its quote
    return {begin, literal.data() + literal.size()};
  }

  void object() {
    JsonString key;
    bool code = false, message = false, answer = false;
    while (cursor_.next_member(key)) {
      const std::string_view name = key.text(room_);
      if (same(name, "choices")) {
        choices();
      } else if (same(name, "usage")) {
        usage();
      } else if (same(name, "error")) {
        facts_.error |= !says_nothing(value());
      } else if (same(name, "object")) {
        answer = true;
        facts_.error |= same(string_value(), "error");
      } else if (same(name, "type")) {
        facts_.type = string_value();
        facts_.error |= same(facts_.type, "error");
        answer = true;
      } else if (same(name, "response")) {
        response();
      } else if (same(name, "id")) {
        answer = true;
        facts_.id = string_literal();
      } else if (same(name, "obfuscation")) {
        facts_.obfuscation = string_literal();
      } else {
        code |= same(name, "code");
        message |= same(name, "message");
        answer |= same(name, "data") || same(name, "output") || same(name, "results");
        cursor_.skip();
      }
    }
    facts_.bare_error = code && message && !answer && !facts_.has_choices;
  }

  void response() {
    if (!cursor_.enter_object_or_skip()) return;
    JsonString key;
    while (cursor_.next_member(key)) {
      if (key.is("usage")) {
        usage();
      } else {
        cursor_.skip();
      }
    }
  }

  void usage() {
    if (!cursor_.enter_object_or_skip()) return;
    JsonString key;
    while (cursor_.next_member(key)) {
      const std::string_view name = key.text(room_);
      const bool prompt = same(name, "prompt_tokens") || same(name, "input_tokens");
      const bool completion = same(name, "completion_tokens") || same(name, "output_tokens");
      const std::optional<std::uint64_t> count = read_count(value());
      if (!count || (!prompt && !completion)) continue;
      (prompt ? facts_.usage.prompt : facts_.usage.completion) =
          std::min(*count, bounds::kUsageTokens);
      facts_.usage.known = true;
    }
  }

  void choices() {
    if (!cursor_.enter_array()) {
      cursor_.skip();
      return;
    }
    facts_.has_choices = true;
    std::size_t seen = 0;
    while (cursor_.next_element()) {
      choice();
      if (++seen > 1) facts_.plain = false;
    }
  }

  void choice() {
    if (!cursor_.enter_object_or_skip()) return;
    JsonString key;
    std::size_t index = 0;
    bool finished = false;
    while (cursor_.next_member(key)) {
      const std::string_view name = key.text(room_);
      if (same(name, "delta")) {
        delta();
      } else if (same(name, "text")) {
        text();
      } else if (same(name, "finish_reason")) {
        finished = !says_nothing(value());
      } else if (same(name, "index")) {
        index = read_count(value()).value_or(0);
      } else if (same(name, "logprobs") || same(name, "message")) {
        facts_.plain &= says_nothing(value());
      } else {
        cursor_.skip();
      }
    }
    facts_.content |= finished;
    facts_.plain &= index == 0;
    if (index >= facts_.choices.size()) return;
    facts_.choices.set(index);
    if (finished) facts_.finished.set(index);
  }

  // Anything but the role is content: text, tool calls, refusals, reasoning under whatever name.
  void delta() {
    if (!cursor_.enter_object_or_skip()) return;
    JsonString key;
    while (cursor_.next_member(key)) {
      if (key.is("content")) {
        text();
      } else {
        const std::string_view literal = value();
        const bool role = key.is("role");
        if (role) facts_.role = member(key, literal);
        const bool nothing = role || says_nothing(literal);
        if (!nothing) said(literal);
        facts_.plain &= nothing;
      }
    }
  }

  void text() {
    const bool string = cursor_.peek() == JsonType::string;
    const std::string_view literal = value();
    const bool nothing = says_nothing(literal);
    if (!nothing) said(literal);
    if (string)
      facts_.text = literal;
    else
      facts_.plain &= nothing;
  }

  void said(std::string_view literal) {
    facts_.content = true;
    if (literal.starts_with('"')) facts_.said = literal;
  }

  JsonCursor cursor_;
  std::string room_;  // of an escaped key, until the next one
  EventFacts& facts_;
};

}  // namespace

std::optional<EventFacts> read_event(std::string_view json) {
  std::optional<EventFacts> facts(std::in_place);
  if (!EventReader(json, *facts).read()) facts.reset();
  return facts;
}

}  // namespace spillway
