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

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "core/bounds.hpp"

namespace spillway {

enum class JsonType : std::uint8_t { object, array, string, number, boolean, null };

struct JsonFault {
  enum class Kind : std::uint8_t { empty, byte_order_mark, syntax, invalid_utf8, too_deep };
  Kind kind{};
  std::size_t offset = 0;  // bytes from the text's start
};

// A string as it stands in the text, between its quotes.
struct JsonString {
  std::string_view raw;  // escapes not applied
  bool escaped = false;  // has at least one backslash

  // True if it says `text` once its escapes are applied.
  bool is(std::string_view text) const { return escaped ? is_unescaped(text) : raw == text; }

 private:
  bool is_unescaped(std::string_view text) const;
};

class JsonCursor {
 public:
  // `text` must outlive the cursor and every JsonString it hands out.
  explicit JsonCursor(std::string_view text);

  // The type of the value that starts here, told by its first byte; nullopt after a fault.
  std::optional<JsonType> peek();

  // Each of these returns false at a fault, the value ones also if the value is of another type (no
  // fault then).
  bool skip();                  // past one whole value
  bool enter_object();          // past its '{'
  bool enter_object_or_skip();  // false: it was something else, and is passed
  bool next_member(
      JsonString& key);  // to a member's value; false also behind the last, past the '}'
  bool enter_array();    // past its '['
  bool next_element();   // to an element; false also behind the last, past the ']'
  bool read_string(JsonString& text);  // past a string
  bool finish();                       // only white space is left

  // Where the cursor stands: at a value's first byte after next_member and next_element, behind it
  // after skip.
  std::size_t offset() const { return static_cast<std::size_t>(at_ - begin_); }
  // The text from `from` up to where the cursor stands.
  std::string_view since(std::size_t from) const { return {begin_ + from, offset() - from}; }
  const std::optional<JsonFault>& fault() const { return fault_; }

 private:
  bool fail(JsonFault::Kind kind, const char* where);
  void skip_space();
  bool deeper();
  bool consume(char expected);
  bool next_in(char closer);
  bool pass_key(JsonString& key);
  bool pass_string(JsonString& text);
  const char* pass_escape(const char* at);
  bool pass_number();
  bool pass_literal(std::string_view literal);
  bool pass_scalar();

  const char* begin_;
  const char* at_;
  const char* end_;
  std::size_t depth_ = 0;
  bool fresh_ = false;  // just entered a container: its first item has no comma
  std::optional<JsonFault> fault_;
};

}  // namespace spillway
