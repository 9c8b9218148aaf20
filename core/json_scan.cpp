#include "core/json_scan.hpp"

#include <simdjson.h>

#include <array>
#include <cstring>

#include "core/json_bytes.hpp"

namespace spillway {

namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// What may follow a backslash, alone.
constexpr auto kSimpleEscapes = [] {
  std::array<bool, 256> simple{};
  for (const char c : std::string_view("\"\\/bfnrt")) simple[static_cast<unsigned char>(c)] = true;
  return simple;
}();

const char* pass_digits(const char* at, const char* end) {
  while (at != end && is_digit(*at)) ++at;
  return at;
}

}  // namespace

JsonCursor::JsonCursor(std::string_view text)
    : begin_(text.data()), at_(begin_), end_(begin_ + text.size()) {
  if (text.starts_with("\xEF\xBB\xBF")) fail(JsonFault::Kind::byte_order_mark, begin_);
}

bool JsonCursor::fail(JsonFault::Kind kind, const char* where) {
  if (!fault_) fault_ = JsonFault{kind, static_cast<std::size_t>(where - begin_)};
  at_ = end_;  // nothing more is read
  return false;
}

std::nullopt_t JsonCursor::nothing_left() {
  const bool nothing_at_all = depth_ == 0;
  fail(nothing_at_all ? JsonFault::Kind::empty : JsonFault::Kind::syntax, at_);
  return std::nullopt;
}

bool JsonCursor::consume(char expected) {
  skip_space();
  if (at_ == end_ || *at_ != expected) return fail(JsonFault::Kind::syntax, at_);
  ++at_;
  return true;
}

bool JsonCursor::enter_object_or_skip() {
  if (enter_object()) return true;
  skip();
  return false;
}

// Past the comma before the container's next item, or past its end (false).
bool JsonCursor::next_in(char closer) {
  if (fault_) return false;
  skip_space();
  const bool first = fresh_;
  fresh_ = false;
  if (at_ != end_ && *at_ == closer) {
    ++at_;
    --depth_;
    return false;
  }
  return first || consume(',');
}

// Out of a container that ends right here.
inline bool JsonCursor::leave_quickly(char closer) {
  if (at_ == end_ || *at_ != closer) return false;
  ++at_;
  --depth_;
  fresh_ = false;
  return true;
}

// The first byte of the value of the member that starts right here, with its comma if it needs one;
// the key is plain and no space stands where none is common.
inline const char* JsonCursor::find_member_quickly(JsonString& key) const {
  constexpr std::ptrdiff_t kShortest = 8;  // `, "": 0` and a byte more
  const char* at = at_;
  if (end_ - at < kShortest) return nullptr;
  if (!fresh_ && *at++ != ',') return nullptr;
  if (*at == ' ') ++at;
  if (*at != '"') return nullptr;
  const char* begin = at + 1;
  at = find_special_byte(begin, end_);
  if (end_ - at < 4 || *at != '"' || at[1] != ':') return nullptr;
  key.raw = std::string_view(begin, static_cast<std::size_t>(at - begin));
  key.escaped = false;
  at += at[2] == ' ' ? 3 : 2;
  return kTypes[static_cast<unsigned char>(*at)] == kNoType ? nullptr : at;
}

bool JsonCursor::next_member(JsonString& key) {
  if (leave_quickly('}')) return false;
  if (const char* value = find_member_quickly(key)) {
    at_ = value;
    fresh_ = false;
    return true;
  }
  return next_in('}') && pass_key(key);
}

bool JsonCursor::next_element() {
  if (leave_quickly(']')) return false;
  return next_in(']') && peek().has_value();
}

// Nearly all strings are plain ASCII.
inline bool JsonCursor::pass_string(JsonString& text) {
  const char* begin = at_ + 1;
  const char* at = find_special_byte(begin, end_);
  text.escaped = false;
  if (at == end_ || *at != '"') at = find_string_end(at, text.escaped);
  if (at == nullptr) return false;
  text.raw = std::string_view(begin, static_cast<std::size_t>(at - begin));
  at_ = at + 1;
  return true;
}

bool JsonCursor::pass_key(JsonString& key) {
  skip_space();
  if (at_ == end_ || *at_ != '"') return fail(JsonFault::Kind::syntax, at_);
  return pass_string(key) && consume(':') && peek().has_value();
}

bool JsonCursor::read_string(JsonString& text) {
  return peek() == JsonType::string && pass_string(text);
}

bool JsonCursor::finish() {
  if (fault_) return false;
  skip_space();
  return at_ == end_ || fail(JsonFault::Kind::syntax, at_);
}

// The cursor stands on the backslash at `at`; one past the escape, or nullptr.
const char* JsonCursor::pass_escape(const char* at) {
  const char* begin = at++;
  if (at != end_ && kSimpleEscapes[static_cast<unsigned char>(*at)]) return at + 1;
  bool valid = at != end_ && *at == 'u' && end_ - at > 4;
  for (int i = 1; valid && i <= 4; ++i) valid = ascii::hex_value(at[i]) >= 0;
  if (valid) return at + 5;
  fail(JsonFault::Kind::syntax, begin);
  return nullptr;
}

// The cursor stands on a byte of a string that is not ASCII. Past it and what else follows that
// need not be looked at; nullptr after a fault. All of a long text is checked at once, many bytes
// at a time; sequence by sequence only what is short, or has a fault whose place is to be told.
const char* JsonCursor::pass_non_ascii_text(const char* at) {
  constexpr std::ptrdiff_t kShort = 128;
  if (utf8_ == Utf8::unknown && end_ - at >= kShort) {
    const bool valid = simdjson::validate_utf8(at, static_cast<std::size_t>(end_ - at));
    utf8_ = valid ? Utf8::valid : Utf8::invalid;
  }
  if (utf8_ == Utf8::valid) return at + 1;
  const char* bad = nullptr;
  const char* behind = pass_non_ascii(at, end_, bad);
  if (behind == nullptr) fail(JsonFault::Kind::invalid_utf8, bad);
  return behind;
}

// The closing quote of the string that goes on at `at`; nullptr after a fault.
const char* JsonCursor::find_string_end(const char* at, bool& escaped) {
  while (at != end_ && *at != '"') {
    if (*at == '\\') {
      escaped = true;
      at = pass_escape(at);
      if (at == nullptr) return nullptr;
    } else if (static_cast<unsigned char>(*at) < 0x20) {
      fail(JsonFault::Kind::syntax, at);
      return nullptr;
    } else {
      at = pass_non_ascii_text(at);
      if (at == nullptr) return nullptr;
    }
    at = utf8_ == Utf8::valid ? find_special_ascii(at, end_) : find_special_byte(at, end_);
  }
  if (at == end_) fail(JsonFault::Kind::syntax, end_);
  return at == end_ ? nullptr : at;
}

bool JsonCursor::pass_number() {
  const char* at = at_;
  if (*at == '-') ++at;
  if (at == end_ || !is_digit(*at)) return fail(JsonFault::Kind::syntax, at);
  at = *at == '0' ? at + 1 : pass_digits(at, end_);
  if (at != end_ && *at == '.') {
    const char* fraction = at + 1;
    at = pass_digits(fraction, end_);
    if (at == fraction) return fail(JsonFault::Kind::syntax, at);
  }
  if (at != end_ && (*at == 'e' || *at == 'E')) {
    ++at;
    if (at != end_ && (*at == '+' || *at == '-')) ++at;
    const char* exponent = at;
    at = pass_digits(exponent, end_);
    if (at == exponent) return fail(JsonFault::Kind::syntax, at);
  }
  at_ = at;
  return true;
}

bool JsonCursor::pass_literal(std::string_view literal) {
  const std::string_view left(at_, static_cast<std::size_t>(end_ - at_));
  if (!left.starts_with(literal)) return fail(JsonFault::Kind::syntax, at_);
  at_ += literal.size();
  return true;
}

// Past a value that is not a container; peek() has seen it.
bool JsonCursor::pass_scalar() {
  JsonString ignored;
  switch (*at_) {
    case '"':
      return pass_string(ignored);
    case 't':
      return pass_literal("true");
    case 'f':
      return pass_literal("false");
    case 'n':
      return pass_literal("null");
    default:
      return pass_number();
  }
}

// Past a plain string, an integer or a literal that starts right here.
inline bool JsonCursor::pass_scalar_quickly() {
  constexpr std::ptrdiff_t kLongestLiteral = 5;
  JsonString ignored;
  const char* at = at_;
  if (end_ - at <= kLongestLiteral) return false;
  switch (*at) {
    case '"':
      return pass_string(ignored);
    case 't':
      if (std::memcmp(at, "true", 4) != 0) return false;
      at_ = at + 4;
      return true;
    case 'f':
      if (std::memcmp(at, "false", 5) != 0) return false;
      at_ = at + 5;
      return true;
    case 'n':
      if (std::memcmp(at, "null", 4) != 0) return false;
      at_ = at + 4;
      return true;
    default:
      break;
  }
  if (*at < '1' || *at > '9') return false;
  at = pass_digits(at, end_);
  if (at == end_ || *at == '.' || *at == 'e' || *at == 'E') return false;
  at_ = at;
  return true;
}

bool JsonCursor::skip() {
  if (pass_scalar_quickly()) return true;
  return skip_carefully();
}

bool JsonCursor::skip_carefully() {
  std::array<char, bounds::kJsonDepth>
      closers;  // of the containers that are open, from `outside` on
  const std::size_t outside = depth_;
  JsonString key;
  do {
    // Here the cursor stands at a value.
    if (!pass_scalar_quickly()) {
      const std::optional<JsonType> type = peek();
      if (!type) return false;
      if (*type == JsonType::object || *type == JsonType::array) {
        if (!deeper()) return false;
        closers[depth_ - 1] = *type == JsonType::object ? '}' : ']';
      } else if (!pass_scalar()) {
        return false;
      }
    }
    // Out of every container that ends here, and on to the next item of the one that does not.
    while (depth_ > outside) {
      if (closers[depth_ - 1] == '}' ? next_member(key) : next_element()) break;
      if (fault_) return false;
    }
  } while (depth_ > outside);
  return true;
}

}  // namespace spillway
