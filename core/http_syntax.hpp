// The small grammar of HTTP/1.x heads (RFC 9110 section 5, RFC 9112 sections 2 to 5), strict and
// shared by the checks of requests and of responses.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "core/ascii.hpp"

namespace spillway::http {

using spillway::equals_ignoring_case;

// token: at least one letter, digit or one of !#$%&'*+-.^_`|~
bool is_token(std::string_view text);

// A byte that no line of a head may hold: a control byte other than tab, or DEL. CR and LF are the
// caller's to judge.
constexpr bool is_forbidden(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && c != '\t') || byte == 0x7F;
}

// Without the spaces and tabs around it.
constexpr std::string_view trim(std::string_view text) {
  const auto is_space = [](char c) { return c == ' ' || c == '\t'; };
  std::size_t begin = 0, end = text.size();
  while (begin < end && is_space(text[begin])) ++begin;
  while (begin < end && is_space(text[end - 1])) --end;
  return {text.data() + begin, end - begin};
}

// The comma-separated elements of a list, one call each: takes the first off `list`, trimmed; may
// be empty.
std::string_view take_element(std::string_view& list);

// A list of tokens, of which some may be missing: Connection's.
bool is_token_list(std::string_view list);

// 1*DIGIT that fits; nullopt otherwise.
std::optional<std::uint64_t> parse_content_length(std::string_view value);

// uri-host [ ":" port ]: a registered name, an IPv4 address or a bracketed IPv6 address; never
// empty, no user info.
bool is_host(std::string_view text);

// absolute-path [ "?" query ]; a path's percent escapes are whole. No fragment.
bool is_origin_form(std::string_view target);

// http(s)://host[:port], then nothing, a path or a query.
bool is_absolute_form(std::string_view target);

enum class FieldFault : std::uint8_t { folded, no_colon, bad_name };
struct Field {
  std::string_view name;
  std::string_view value;  // trimmed
  std::optional<FieldFault> fault;
};
// Splits one line of a field section (without its CRLF).
Field split_field(std::string_view line);
std::string_view describe(FieldFault fault);

}  // namespace spillway::http
