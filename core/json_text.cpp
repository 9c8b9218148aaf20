// Between text and its JSON string literal.
#include <algorithm>
#include <cstdint>

#include "core/ascii.hpp"
#include "core/body.hpp"
#include "core/json_bytes.hpp"
#include "core/json_scan.hpp"

namespace spillway {

namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

void append_utf8(std::string& out, std::uint32_t code) {
  const auto put = [&out](std::uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | code >> 6);
    put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3F));
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  }
}

// The code unit of the escape \uXXXX at `raw`[at], or nullopt if another thing stands there.
std::optional<std::uint32_t> code_unit(std::string_view raw, std::size_t at) {
  if (at + 6 > raw.size() || raw[at] != '\\' || raw[at + 1] != 'u') return std::nullopt;
  std::uint32_t unit = 0;
  for (std::size_t i = at + 2; i < at + 6; ++i)
    unit = unit << 4 | static_cast<std::uint32_t>(ascii::hex_value(raw[i]));
  return unit;
}

// Appends what the \u escape at `raw`[at] stands for; returns one past it, or past the pair.
std::size_t append_code_point(std::string& out, std::string_view raw, std::size_t at) {
  const std::uint32_t unit = *code_unit(raw, at);
  at += 6;
  if (unit < 0xD800 || unit > 0xDFFF) {
    append_utf8(out, unit);
    return at;
  }
  const std::optional<std::uint32_t> low = code_unit(raw, at);
  if (unit > 0xDBFF || !low || *low < 0xDC00 || *low > 0xDFFF) {
    out.append(kReplacement);
    return at;
  }
  append_utf8(out, 0x10000 + ((unit - 0xD800) << 10) + (*low - 0xDC00));
  return at + 6;
}

char simple_escape(char letter) {
  switch (letter) {
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    default:
      return letter;  // quote, backslash, slash
  }
}

void append_escaped(std::string& out, char c) {
  switch (c) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\b':
      out += "\\b";
      return;
    case '\f':
      out += "\\f";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      break;
  }
  const auto& digits = ascii::kHexPairs[static_cast<unsigned char>(c)];
  out += "\\u00";
  out.append(digits.data(), digits.size());
}

}  // namespace

void JsonString::append_to(std::string& out) const {
  if (!escaped) {
    out.append(raw);
    return;
  }
  std::size_t at = 0;
  while (at < raw.size()) {
    const std::size_t escape = std::min(raw.find('\\', at), raw.size());
    out.append(raw, at, escape - at);
    at = escape;
    if (at == raw.size()) break;
    const char letter = raw[at + 1];
    if (letter == 'u') {
      at = append_code_point(out, raw, at);
    } else {
      out.push_back(simple_escape(letter));
      at += 2;
    }
  }
}

std::optional<JsonString> read_literal(std::string_view literal) {
  JsonCursor cursor(literal);
  JsonString text;
  const bool whole = literal.starts_with('"') && cursor.read_string(text);
  if (!whole || cursor.offset() != literal.size()) return std::nullopt;
  return text;
}

std::optional<std::string> unescape(std::string_view literal) {
  const std::optional<JsonString> text = read_literal(literal);
  std::optional<std::string> out;
  if (!text) return out;
  out.emplace().reserve(text->raw.size());
  text->append_to(*out);
  return out;
}

std::string quote(std::string_view text) {
  std::string out;
  out.reserve(text.size() + 2);
  out.push_back('"');
  const char* at = text.data();
  const char* end = at + text.size();
  while (at != end) {
    const char* special = find_special_byte(at, end);
    out.append(at, special);
    at = special;
    if (at == end) break;
    if (static_cast<unsigned char>(*at) < 0x80) {
      append_escaped(out, *at++);
      continue;
    }
    const int length = utf8_length(at, end);
    if (length == 0) {
      out.append(kReplacement);
      ++at;
    } else {
      out.append(at, static_cast<std::size_t>(length));
      at += length;
    }
  }
  out.push_back('"');
  return out;
}

}  // namespace spillway
