#include "core/http_syntax.hpp"

#include <algorithm>
#include <array>
#include <charconv>

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
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

// Only bytes of the set and whole percent escapes.
bool is_escaped_text(std::string_view text, const ByteSet& allowed) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      if (i + 2 >= text.size() || !is_hex(text[i + 1]) || !is_hex(text[i + 2])) return false;
      i += 2;
    } else if (!allowed.has(text[i])) {
      return false;
    }
  }
  return true;
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
  return !text.empty() && std::ranges::all_of(text, [](char c) { return kTokenBytes.has(c); });
}

bool is_forbidden(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && c != '\t') || byte == 0x7F;
}

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view trim(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

std::string_view take_element(std::string_view& list) {
  const std::size_t comma = std::min(list.find(','), list.size());
  const std::string_view element = trim(list.substr(0, comma));
  list.remove_prefix(std::min(comma + 1, list.size()));
  return element;
}

std::optional<std::uint64_t> parse_content_length(std::string_view value) {
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
  const bool name = colon > 0 && is_escaped_text(text.substr(0, colon), kNameBytes);
  return name && (colon == text.size() || is_port(text.substr(colon + 1)));
}

bool is_origin_form(std::string_view target) {
  if (!target.starts_with('/')) return false;
  const std::size_t question = std::min(target.find('?'), target.size());
  if (!is_escaped_text(target.substr(0, question), kPathBytes)) return false;
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
  if (line.starts_with(' ') || line.starts_with('\t')) return {{}, {}, FieldFault::folded};
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return {{}, {}, FieldFault::no_colon};
  const std::string_view name = line.substr(0, colon);
  if (!is_token(name)) return {{}, {}, FieldFault::bad_name};
  return {name, trim(line.substr(colon + 1)), std::nullopt};
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
