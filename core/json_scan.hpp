// Reads JSON text in one forward pass, without a document: a cursor that checks everything it
// passes and says where things stand. Bodies, stream events and splices all look through it, so
// that one checker decides what JSON is.
//
// Strict RFC 8259: UTF-8 only (no overlong forms, no surrogates, nothing above U+10FFFF), no byte
// order mark, numbers of any size, at most bounds::kJsonDepth levels. Escaped lone surrogates are
// grammatical and pass. Depth costs no stack: nesting is counted, never recursed into.
//
// How to read an object:
//   if (cursor.enter_object()) while (cursor.next_member(key)) { ... cursor.skip(); }
//   if (!cursor.finish()) ... cursor.fault() ...
// Every loop ends at the first fault, after which the cursor refuses everything.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/ascii.hpp"
#include "core/bounds.hpp"

namespace spillway {

enum class JsonType : std::uint8_t { object, array, string, number, boolean, null };

struct JsonFault {
  enum class Kind : std::uint8_t { empty, byte_order_mark, syntax, invalid_utf8, too_deep };
  Kind kind{};
  std::size_t offset = 0;  // bytes from the text's start
};

// A string as it stands in the text, between its quotes. Only a cursor makes one, which has checked
// it.
struct JsonString {
  std::string_view raw;  // escapes not applied
  bool escaped = false;  // has at least one backslash

  // True if it says `text` once its escapes are applied.
  bool is(std::string_view text) const { return escaped ? unescaped() == text : same(raw, text); }

  // What it says. `room` is where it is put if it has escapes; the view is into it, or `raw`.
  std::string_view text(std::string& room) const {
    return escaped ? std::string_view(room = unescaped()) : raw;
  }

  // Appends what it says; a lone surrogate becomes U+FFFD.
  void append_to(std::string& out) const;

  // What it says, in memory of its own.
  std::string unescaped() const {
    std::string out;
    append_to(out);
    return out;
  }
};

// nullopt: `literal` is not a JSON string from its first byte to its last.
std::optional<JsonString> read_literal(std::string_view literal);

class JsonCursor {
 public:
  // `text` must outlive the cursor and every JsonString it hands out.
  explicit JsonCursor(std::string_view text);

  // The type of the value that starts here, told by its first byte; nullopt after a fault.
  std::optional<JsonType> peek() {
    if (fault_) return std::nullopt;
    skip_space();
    if (at_ == end_) return nothing_left();
    const std::uint8_t type = kTypes[static_cast<unsigned char>(*at_)];
    if (type != kNoType) return static_cast<JsonType>(type);
    fail(JsonFault::Kind::syntax, at_);
    return std::nullopt;
  }

  // Each of these returns false at a fault, the value ones also if the value is of another type (no
  // fault then).
  bool skip();           // past one whole value
  bool enter_object() {  // past its '{'
    return peek() == JsonType::object && deeper();
  }
  bool enter_object_or_skip();        // false: it was something else, and is passed
  bool next_member(JsonString& key);  // to a member's value; false also behind the last
  bool enter_array() {                // past its '['
    return peek() == JsonType::array && deeper();
  }
  bool next_element();                 // to an element; false also behind the last, past the ']'
  bool read_string(JsonString& text);  // past a string
  bool finish();                       // only white space is left

  // Where the cursor stands: at a value's first byte after next_member and next_element, behind it
  // after skip.
  std::size_t offset() const { return static_cast<std::size_t>(at_ - begin_); }
  // The text from `from` up to where the cursor stands.
  std::string_view since(std::size_t from) const { return {begin_ + from, offset() - from}; }
  const std::optional<JsonFault>& fault() const { return fault_; }

 private:
  // For text as it nearly always is: hardly any white space, no fault. Where these return false or
  // nullptr they have passed nothing, and the careful paths decide.
  bool pass_scalar_quickly();
  bool skip_carefully();
  const char* find_member_quickly(JsonString& key) const;
  bool leave_quickly(char closer);

  void skip_space() {
    // Most of the time there is none.
    while (at_ != end_ && *at_ <= ' ' &&
           (*at_ == ' ' || *at_ == '\n' || *at_ == '\r' || *at_ == '\t'))
      ++at_;
  }

  bool deeper() {
    if (depth_ == bounds::kJsonDepth) return fail(JsonFault::Kind::too_deep, at_);
    ++depth_;
    ++at_;
    fresh_ = true;
    return true;
  }

  // The type of the value that begins with a byte.
  static constexpr std::uint8_t kNoType = 0xFF;
  static constexpr auto kTypes = [] {
    std::array<std::uint8_t, 256> types{};
    types.fill(kNoType);
    const auto set = [&types](char c, JsonType type) {
      types[static_cast<unsigned char>(c)] = static_cast<std::uint8_t>(type);
    };
    set('{', JsonType::object);
    set('[', JsonType::array);
    set('"', JsonType::string);
    set('t', JsonType::boolean);
    set('f', JsonType::boolean);
    set('n', JsonType::null);
    set('-', JsonType::number);
    for (char digit = '0'; digit <= '9'; ++digit) set(digit, JsonType::number);
    return types;
  }();

  bool fail(JsonFault::Kind kind, const char* where);
  std::nullopt_t nothing_left();
  bool consume(char expected);
  bool next_in(char closer);
  bool pass_key(JsonString& key);
  bool pass_string(JsonString& text);
  const char* find_string_end(const char* at, bool& escaped);
  const char* pass_escape(const char* at);
  const char* pass_non_ascii_text(const char* at);
  bool pass_number();
  bool pass_literal(std::string_view literal);
  bool pass_scalar();

  const char* begin_;
  const char* at_;
  const char* end_;
  std::size_t depth_ = 0;
  bool fresh_ = false;  // just entered a container: its first item has no comma
  // Of all that follows; asked once, at the first byte that is not ASCII.
  enum class Utf8 : std::uint8_t { unknown, valid, invalid } utf8_ = Utf8::unknown;
  std::optional<JsonFault> fault_;
};

}  // namespace spillway
