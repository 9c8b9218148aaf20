// A head that the gateway made, read by somebody who trusts nobody.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/body.hpp"
#include "core/http_syntax.hpp"
#include "fuzz.hpp"

namespace spillway::fuzz {

// The names of the head's fields, in lower case. Ends the process unless the head is exactly a
// first line, well-formed fields and an empty line.
inline std::vector<std::string> field_names(std::string_view head) {
  for (std::size_t i = 0; i < head.size(); ++i) {
    if (head[i] == '\r')
      expect(i + 1 < head.size() && head[i + 1] == '\n', "no bare CR");
    else if (head[i] == '\n')
      expect(i > 0 && head[i - 1] == '\r', "no bare LF");
    else
      expect(!http::is_forbidden(head[i]), "no control byte");
  }
  std::vector<std::string> names;
  take_until(head, "\r\n");
  while (!head.empty() && head != "\r\n") {
    const http::Field field = http::split_field(take_until(head, "\r\n"));
    expect(!field.fault, "every line is a field");
    names.push_back(fold(field.name));
  }
  expect(head == "\r\n", "one empty line, at the end");
  return names;
}

}  // namespace spillway::fuzz
