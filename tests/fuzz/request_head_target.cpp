// A request's head: judged the same however it arrives, and understood by Beast as by the check,
// since two readers that disagree about where a request ends are how requests are smuggled.
#include "beast_parser.hpp"
#include "core/head_check.hpp"
#include "core/http_syntax.hpp"
#include "fuzz.hpp"
#include "head_grammar.hpp"

namespace spillway {
namespace {

using fuzz::expect;
using State = RequestHeadCheck::State;

constexpr HeadLimits kLimits{2048, 16};  // small enough to be met

struct Judged {
  State state;
  int status = 0;
  std::string message;
  std::size_t head_bytes = 0, skipped = 0;
  BodyFraming framing{};
  std::uint64_t length = 0;
  bool keep_alive = false, http_1_0 = false, expect_continue = false;
  bool operator==(const Judged&) const = default;
};

Judged result(const RequestHeadCheck& check, State state) {
  switch (state) {
    case State::need_more:
      return {state, 0, {}};
    case State::bad:
      return {state, check.fault().status, check.fault().message};
    case State::complete:
      break;
  }
  return {state,
          0,
          {},
          check.head_bytes(),
          check.skipped_bytes(),
          check.framing(),
          check.content_length(),
          check.keep_alive(),
          check.http_1_0(),
          check.expect_continue()};
}

Judged judge(std::string_view head) {
  RequestHeadCheck check(kLimits);
  return result(check, check.feed(head));
}

Judged judge_in_pieces(std::string_view head, const std::vector<std::string_view>& pieces) {
  RequestHeadCheck check(kLimits);
  State state = State::need_more;
  std::size_t received = 0;
  for (const std::string_view piece : pieces) {
    received += piece.size();
    state = check.feed(head.substr(0, received));
  }
  return result(check, state);
}

void check_grammar(std::string_view head, const Judged& judged) {
  const auto fields = fuzz::read_fields(head);
  fuzz::check_framing(fields);
  expect(fuzz::count(fields, "host") == 1 || (judged.http_1_0 && fuzz::count(fields, "host") == 0),
         "one Host");
  expect(!judged.http_1_0 || judged.framing != BodyFraming::chunked, "no chunks in HTTP/1.0");
  expect(fields.size() <= kLimits.fields && head.size() <= kLimits.bytes, "within the limits");
}

void compare_with_beast(std::string_view head, const Judged& judged) {
  fuzz::RequestParser parser;
  expect(parser.parse(head), "Beast accepts it, and sees the head's end where the check does");
  // Of HTTP/1.0's keep-alive beside close, Beast believes the first and we the second.
  const bool both_named = judged.http_1_0 && !judged.keep_alive;
  expect(parser.keep_alive() == judged.keep_alive || both_named,
         "both agree whether the connection stays");
  expect(parser.chunked() == (judged.framing == BodyFraming::chunked), "both agree on chunked");
  const auto length = parser.content_length();
  expect(length.has_value() == (judged.framing == BodyFraming::length), "both agree on a length");
  if (length) expect(*length == judged.length, "both read the same length");

  std::string_view rest = head;
  const std::string_view line = fuzz::take_until(rest, "\r\n");
  expect(line.starts_with(std::string(parser.method()) + " "), "both see the same method");
  expect(line.find(parser.target()) == parser.method().size() + 1, "both see the same target");
  for (const HeaderView& header : parser.headers()) {
    const http::Field field = http::split_field(fuzz::take_until(rest, "\r\n"));
    expect(!field.fault && field.name == header.name, "both see the same field");
    expect(field.value == header.value, "both see the same value");
  }
  expect(rest == "\r\n", "no field is left over");
}

}  // namespace
}  // namespace spillway

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace spillway;
  const std::string_view text = fuzz::as_text(data, size);
  auto random = fuzz::random_of(text);
  const Judged judged = judge(text);
  expect(judged == judge_in_pieces(text, fuzz::cut(text, random)), "however it arrives");
  if (judged.state != State::complete) return 0;

  const std::string_view head = text.substr(judged.skipped, judged.head_bytes - judged.skipped);
  expect(judge(text.substr(0, judged.head_bytes)) == judged, "what follows a head is not read");
  expect(judge(text.substr(0, judged.head_bytes - 1)).state == State::need_more, "not sooner");
  check_grammar(head, judged);
  compare_with_beast(head, judged);
  return 0;
}
