// A head that the gateway made or accepted, read by somebody who trusts nobody.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/body.hpp"
#include "core/http_syntax.hpp"
#include "fuzz.hpp"

namespace spillway::fuzz {

struct NamedValue {
  std::string name;  // in lower case
  std::string_view value;
};

// Ends the process unless the head is exactly a first line, well-formed fields and an empty line.
inline std::vector<NamedValue> read_fields(std::string_view head) {
  for (std::size_t i = 0; i < head.size(); ++i) {
    if (head[i] == '\r')
      expect(i + 1 < head.size() && head[i + 1] == '\n', "no bare CR");
    else if (head[i] == '\n')
      expect(i > 0 && head[i - 1] == '\r', "no bare LF");
    else
      expect(!http::is_forbidden(head[i]), "no control byte");
  }
  std::vector<NamedValue> fields;
  take_until(head, "\r\n");
  while (!head.empty() && head != "\r\n") {
    const http::Field field = http::split_field(take_until(head, "\r\n"));
    expect(!field.fault, "every line is a field");
    fields.push_back({fold(field.name), field.value});
  }
  expect(head == "\r\n", "one empty line, at the end");
  return fields;
}

// The same, and only the fields' names.
inline std::vector<std::string> field_names(std::string_view head) {
  std::vector<std::string> names;
  for (const NamedValue& field : read_fields(head)) names.push_back(field.name);
  return names;
}

inline std::size_t count(const std::vector<NamedValue>& fields, std::string_view name) {
  return static_cast<std::size_t>(std::ranges::count(fields, name, &NamedValue::name));
}

// No two readers can disagree about where the body ends (RFC 9112 section 6.3).
inline void check_framing(const std::vector<NamedValue>& fields) {
  const auto one = count(fields, "content-length") + count(fields, "transfer-encoding");
  expect(one <= 1, "one framing at most");
  for (const NamedValue& field : fields) {
    if (field.name == "transfer-encoding") expect(fold(field.value) == "chunked", "only chunked");
    if (field.name != "content-length") continue;
    const bool digits = field.value.find_first_not_of("0123456789") == std::string_view::npos;
    expect(digits && !field.value.empty(), "a number");
  }
}

}  // namespace spillway::fuzz
