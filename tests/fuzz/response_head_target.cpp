// A provider's response head: what the check accepts is read the same by Beast, field by field, and
// with the same framing.
#include "core/head_check.hpp"
#include "core/http_syntax.hpp"
#include "fuzz.hpp"
#include "head_grammar.hpp"
#include "server/message_parser.hpp"

namespace spillway {
namespace {

using fuzz::expect;

void compare_with_beast(std::string_view head) {
  server::ResponseParser parser;
  std::vector<std::string_view> body;
  server::error_code ec;
  const std::size_t taken = parser.parse(head, body, ec);
  if (ec) return;  // stricter still: a protocol violation
  expect(taken == head.size() && parser.is_header_done(), "both see the same end");
  expect(std::to_string(parser.status()) == head.substr(9, 3), "both see the same status");

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
  compare_with_beast(head);
  return 0;
}
