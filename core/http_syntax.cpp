#include "core/http_syntax.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "core/ascii.hpp"
#include "core/head_bytes.hpp"

namespace spillway::http {

namespace {

// The bytes that are allowed somewhere, as a table.
class ByteSet {
 public:
  constexpr explicit ByteSet(std::string_view others) {
    for (char c = '0'; c <= '9'; ++c) add(c);
    for (char c = 'a'; c <= 'z'; ++c) add(c);
    for (char c = 'A'; c <= 'Z'; ++c) add(c);
    for (const char c : others) add(c);
  }
  constexpr bool has(char c) const { return bytes_[static_cast<unsigned char>(c)]; }

 private:
  constexpr void add(char c) { bytes_[static_cast<unsigned char>(c)] = true; }
  std::array<bool, 256> bytes_{};
};

constexpr ByteSet kTokenBytes{"!#$%&'*+-.^_`|~"};
constexpr ByteSet kNameBytes{"-._~!$&'()*+,;="};  // of a registered name, besides percent escapes
constexpr ByteSet kPathBytes{"/-._~!$&'()*+,;=:@"};  // likewise, of a path

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_hex(char c) {
  return ascii::hex_value(c) >= 0;
}

// Only bytes of the set, from `at` on, and whole percent escapes. No set holds the percent sign.
bool is_escaped_text(const char* at, const char* end, const ByteSet& allowed) {
  while (at != end) {
    if (allowed.has(*at)) {
      ++at;
      continue;
    }
    if (*at != '%' || end - at < 3 || !is_hex(at[1]) || !is_hex(at[2])) return false;
    at += 3;
  }
  return true;
}

bool is_registered_name(std::string_view text) {
  const char* end = text.data() + text.size();
  return is_escaped_text(pass_plain_name(text.data(), end), end, kNameBytes);
}

bool is_path(std::string_view text) {
  const char* end = text.data() + text.size();
  return is_escaped_text(pass_plain_path(text.data(), end), end, kPathBytes);
}

// One past the token that `text` starts with; its beginning if there is none.
const char* pass_token(std::string_view text) {
  const char* end = text.data() + text.size();
  const char* at = pass_plain_name(text.data(), end);
  while (at != end && kTokenBytes.has(*at)) ++at;
  return at;
}

// Any visible ASCII but '#': browsers leave more unescaped in a query than RFC 3986 allows.
bool is_query(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7F && c != '#'; });
}

bool is_ipv4(std::string_view text) {
  int octets = 0;
  while (true) {
    const std::size_t dot = std::min(text.find('.'), text.size());
    const std::string_view octet = text.substr(0, dot);
    unsigned value = 0;
    const bool digits = !octet.empty() && octet.size() <= 3 && std::ranges::all_of(octet, is_digit);
    if (!digits || (octet.size() > 1 && octet[0] == '0')) return false;
    std::from_chars(octet.data(), octet.data() + octet.size(), value);
    if (value > 255 || ++octets > 4) return false;
    if (dot == text.size()) return octets == 4;
    text.remove_prefix(dot + 1);
  }
}

// The number of 16-bit groups in `text`, colon-separated, an IPv4 tail counting two; -1 if
// malformed.
int count_groups(std::string_view text) {
  if (text.empty()) return 0;
  int groups = 0;
  while (true) {
    const std::size_t colon = std::min(text.find(':'), text.size());
    const std::string_view group = text.substr(0, colon);
    if (colon == text.size() && std::ranges::find(group, '.') != group.end()) {
      return is_ipv4(group) ? groups + 2 : -1;
    }
    if (group.empty() || group.size() > 4 || !std::ranges::all_of(group, is_hex)) return -1;
    ++groups;
    if (colon == text.size()) return groups;
    text.remove_prefix(colon + 1);
  }
}

bool is_ipv6(std::string_view text) {
  const std::size_t gap = text.find("::");
  if (gap == std::string_view::npos) return count_groups(text) == 8;
  const std::string_view head = text.substr(0, gap);
  const int before = count_groups(head);
  const int after = count_groups(text.substr(gap + 2));
  if (head.find('.') != std::string_view::npos) return false;  // IPv4 comes last only
  return before >= 0 && after >= 0 && before + after <= 7;
}

bool is_port(std::string_view text) {
  if (text.empty()) return true;  // RFC 3986 allows "host:"
  std::uint16_t port = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), port);
  return status == std::errc() && end == text.data() + text.size() && is_digit(text[0]);
}

}  // namespace

bool is_token(std::string_view text) {
  return !text.empty() && pass_token(text) == text.data() + text.size();
}

std::string_view take_element(std::string_view& list) {
  const std::size_t comma = std::min(list.find(','), list.size());
  const std::string_view element = trim(list.substr(0, comma));
  list.remove_prefix(std::min(comma + 1, list.size()));
  return element;
}

bool is_token_list(std::string_view list) {
  while (!list.empty()) {
    const std::string_view element = take_element(list);
    if (!element.empty() && !is_token(element)) return false;
  }
  return true;
}

std::optional<std::uint64_t> parse_content_length(std::string_view value) {
  if (const auto number = ascii::short_number(value)) return number;
  if (value.empty() || !std::ranges::all_of(value, is_digit)) return std::nullopt;
  std::uint64_t length = 0;
  const auto [end, status] = std::from_chars(value.data(), value.data() + value.size(), length);
  if (status != std::errc()) return std::nullopt;
  return length;
}

bool is_host(std::string_view text) {
  if (text.starts_with('[')) {
    const std::size_t close = text.find(']');
    if (close == std::string_view::npos || !is_ipv6(text.substr(1, close - 1))) return false;
    const std::string_view rest = text.substr(close + 1);
    return rest.empty() || (rest[0] == ':' && is_port(rest.substr(1)));
  }
  const std::size_t colon = std::min(text.find(':'), text.size());
  const std::string_view name = text.substr(0, colon);
  // RFC 1034 section 3.1: only the root's label, behind the last dot, is empty.
  const bool labels = !name.starts_with('.') && name.find("..") == std::string_view::npos;
  const bool named = !name.empty() && labels && is_registered_name(name);
  return named && (colon == text.size() || is_port(text.substr(colon + 1)));
}

bool is_origin_form(std::string_view target) {
  if (!target.starts_with('/')) return false;
  const std::size_t question = std::min(target.find('?'), target.size());
  if (!is_path(target.substr(0, question))) return false;
  return question == target.size() || is_query(target.substr(question + 1));
}

bool is_absolute_form(std::string_view target) {
  const std::size_t scheme = target.find("://");
  if (scheme == std::string_view::npos) return false;
  const std::string_view name = target.substr(0, scheme);
  if (!equals_ignoring_case(name, "http") && !equals_ignoring_case(name, "https")) return false;
  const std::string_view rest = target.substr(scheme + 3);
  const std::size_t host_end = std::min(rest.find_first_of("/?#"), rest.size());
  if (!is_host(rest.substr(0, host_end))) return false;
  const std::string_view path = rest.substr(host_end);
  if (path.starts_with('?')) return is_query(path.substr(1));
  return path.empty() || is_origin_form(path);
}

Field split_field(std::string_view line) {
  const auto end = static_cast<std::size_t>(pass_token(line) - line.data());  // of the name
  if (end > 0 && end < line.size() && line[end] == ':')
    return {line.substr(0, end), trim(line.substr(end + 1)), std::nullopt};
  if (line.starts_with(' ') || line.starts_with('\t')) return {{}, {}, FieldFault::folded};
  const bool colon = line.find(':', end) != std::string_view::npos;
  return {{}, {}, colon ? FieldFault::bad_name : FieldFault::no_colon};
}

std::string_view describe(FieldFault fault) {
  switch (fault) {
    case FieldFault::folded:
      return "a header line starts with white space";
    case FieldFault::no_colon:
      return "a header line has no colon";
    case FieldFault::bad_name:
      return "a header name is not a token";
  }
  return "a header line is malformed";
}

}  // namespace spillway::http
