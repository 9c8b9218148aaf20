// A provider's response head: what the check accepts is read the same by Beast, field by field, and
// with the same framing.
#include <algorithm>

#include "beast_parser.hpp"
#include "core/head_check.hpp"
#include "core/http_syntax.hpp"
#include "fuzz.hpp"
#include "head_grammar.hpp"

namespace spillway {
namespace {

using fuzz::expect;

void compare_with_beast(std::string_view head, const ResponseHead& read,
                        const std::vector<HeaderView>& fields) {
  fuzz::ResponseParser parser;
  if (!parser.parse(head)) return;  // stricter still
  expect(std::to_string(parser.status()) == head.substr(9, 3), "both see the same status");
  expect(parser.status() == read.status, "and so does what was read");
  expect(std::ranges::equal(fields, parser.headers(),
                            [](const HeaderView& a, const HeaderView& b) {
                              return a.name == b.name && a.value == b.value;
                            }),
         "both hand out the same fields");
  const bool bodiless = read.status < 200 || read.status == 204 || read.status == 304;
  if (!bodiless) {
    expect(parser.chunked() == (read.framing == BodyFraming::chunked), "the same framing");
    expect(parser.need_eof() == (read.framing == BodyFraming::until_close), "the same end");
    expect(parser.keep_alive() == read.keep_alive, "both agree whether the connection stays");
  }

  std::string_view rest = head;
  fuzz::take_until(rest, "\r\n");
  for (const HeaderView& header : parser.headers()) {
    const http::Field field = http::split_field(fuzz::take_until(rest, "\r\n"));
    expect(!field.fault && field.name == header.name, "both see the same field");
    expect(field.value == header.value, "both see the same value");
    expect(safe_header_value(header.value), "no value that could not be emitted");
  }
  expect(rest == "\r\n", "no field is left over");

  const auto length = find_header(parser.headers(), "content-length");
  const auto encoding = find_header(parser.headers(), "transfer-encoding");
  expect(parser.chunked() == encoding.has_value(), "both agree on chunked");
  if (length) {
    const auto theirs = parser.content_length();
    expect(theirs && *theirs == http::parse_content_length(*length), "both read the same length");
  }
}

}  // namespace
}  // namespace spillway

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace spillway;
  std::string_view text = fuzz::as_text(data, size);
  const std::size_t end = text.find("\r\n\r\n");
  const std::string_view head = end == std::string_view::npos ? text : text.substr(0, end + 4);
  const auto complaint = check_response_head(head);
  if (complaint) {
    fuzz::expect(!complaint->empty(), "a complaint says what is wrong");
    return 0;
  }
  fuzz::expect(end != std::string_view::npos, "only a whole head is acceptable");
  fuzz::check_framing(fuzz::read_fields(head));
  std::vector<HeaderView> fields;
  const auto read = read_response_head(head, fields);
  fuzz::expect(read.has_value(), "both checks agree");
  compare_with_beast(head, *read, fields);
  return 0;
}
