#include "core/head_check.hpp"

#include <algorithm>
#include <utility>

#include "core/bounds.hpp"
#include "core/head_bytes.hpp"
#include "core/http_syntax.hpp"

namespace spillway {

namespace {

constexpr std::size_t kMethodBytes = 32;                                      // no method is longer
constexpr std::size_t kAroundTarget = kMethodBytes + sizeof " HTTP/1.1" + 1;  // of a request line

}  // namespace

using State = RequestHeadCheck::State;

State RequestHeadCheck::fail(int status, std::string message) {
  fault_.status = status;
  fault_.message.swap(message);
  return State::bad;
}

State RequestHeadCheck::feed(std::string_view buffer) {
  if (buffer.data() != buffer_) follow(buffer);
  if (state_ == State::need_more) state_ = scan(buffer);
  return state_;
}

// The buffer has moved: what was noted lies in the new one, as far from its beginning.
void RequestHeadCheck::follow(std::string_view buffer) {
  const auto moved = [this, buffer](std::string_view text) {
    if (text.empty()) return std::string_view();
    return buffer.substr(static_cast<std::size_t>(text.data() - buffer_), text.size());
  };
  method_ = moved(method_);
  target_ = moved(target_);
  if (noted_ != nullptr) {
    for (HeaderView& field : *noted_) field = {moved(field.name), moved(field.value)};
  }
  buffer_ = buffer.data();
}

// A line that is whole and clean is judged at once; of others, each new byte is looked at in turn.
State RequestHeadCheck::scan(std::string_view buffer) {
  while (scanned_ < buffer.size()) {
    const std::optional<std::string_view> text = clean_line(buffer);
    State state;
    if (!text) {
      state = scan_line(buffer);
    } else if (seen_request_line_ || text->empty()) {
      line_begin_ = scanned_ = line_begin_ + text->size() + 2;
      state = line(*text);
    } else {
      state = clean_request_line(buffer, *text);
    }
    if (state != State::need_more) return state;
  }
  return State::need_more;
}

// The line that starts here, if it is all there, within the limits, and no byte of it is for
// check_byte() to refuse (of a request line: none of those that no line may hold).
std::optional<std::string_view> RequestHeadCheck::clean_line(std::string_view buffer) const {
  if (scanned_ != line_begin_) return std::nullopt;
  const char* begin = buffer.data() + line_begin_;
  const char* end = buffer.data() + buffer.size();
  const char* cr = http::find_forbidden(begin, end);
  if (end - cr < 2 || cr[0] != '\r' || cr[1] != '\n') return std::nullopt;
  const std::string_view text(begin, static_cast<std::size_t>(cr - begin));
  if (line_begin_ + text.size() + 1 >= limits_.bytes) return std::nullopt;
  const bool folded = text.starts_with(' ') || text.starts_with('\t');
  return folded ? std::nullopt : std::optional(text);
}

// The request line of nearly all requests; any other is scanned byte by byte.
State RequestHeadCheck::clean_request_line(std::string_view buffer, std::string_view line) {
  const std::size_t first = line.find(' ');
  const std::size_t second = first == std::string_view::npos ? first : line.find(' ', first + 1);
  if (second == std::string_view::npos) return scan_line(buffer);
  const std::string_view method = line.substr(0, first);
  const std::string_view target = line.substr(first + 1, second - first - 1);
  const std::string_view version = line.substr(second + 1);
  const bool good = (same(version, "HTTP/1.1") || same(version, "HTTP/1.0")) &&
                    line.size() + 1 < bounds::kTargetBytes + kAroundTarget &&
                    method.size() <= kMethodBytes && http::is_token(method) &&
                    !same(method, "CONNECT") && !same(method, "TRACE") &&
                    target.size() <= bounds::kTargetBytes && http::is_origin_form(target);
  if (!good) return scan_line(buffer);
  seen_request_line_ = true;
  http_1_0_ = same(version, "HTTP/1.0");
  method_ = method;
  target_ = target;
  line_begin_ = scanned_ = line_begin_ + line.size() + 2;
  return State::need_more;
}

// Looks at each new byte of the current line once; as a whole it is judged when its LF arrives.
State RequestHeadCheck::scan_line(std::string_view buffer) {
  for (; scanned_ < buffer.size(); ++scanned_) {
    if (const State state = check_size(); state != State::need_more) return state;
    const char byte = buffer[scanned_];
    if (const State state = check_byte(buffer, byte); state != State::need_more) return state;
    if (byte != '\n') continue;
    const std::string_view text = buffer.substr(line_begin_, scanned_ - 1 - line_begin_);
    line_begin_ = ++scanned_;
    return line(text);
  }
  return State::need_more;
}

State RequestHeadCheck::check_size() {
  const std::size_t line_bytes = scanned_ - line_begin_;
  const bool whole_head_full = scanned_ >= limits_.bytes;
  if (!seen_request_line_) {
    const bool too_long = whole_head_full || line_bytes >= bounds::kTargetBytes + kAroundTarget;
    return too_long ? fail(414, "the request line is too long") : State::need_more;
  }
  return whole_head_full ? fail(431, "the request head is too large") : State::need_more;
}

State RequestHeadCheck::check_byte(std::string_view buffer, char byte) {
  const bool after_cr = scanned_ > line_begin_ && buffer[scanned_ - 1] == '\r';
  if (byte == '\n') {
    return after_cr ? State::need_more : fail(400, "a line ends in a bare LF instead of CRLF");
  }
  if (after_cr) return fail(400, "a CR is not followed by LF");
  if (byte == '\r') return State::need_more;
  if (http::is_forbidden(byte)) return fail(400, "the head holds a control byte");
  if (!seen_request_line_) return check_request_line_byte(buffer, byte);
  const bool folded = scanned_ == line_begin_ && (byte == ' ' || byte == '\t');
  if (folded) return fail(400, std::string(http::describe(http::FieldFault::folded)));
  return State::need_more;
}

// A request line that cannot become a good one is refused before its end: the client may be waiting
// for us.
State RequestHeadCheck::check_request_line_byte(std::string_view buffer, char byte) {
  if (static_cast<unsigned char>(byte) >= 0x80 || byte == '\t') {
    return fail(400, "the request line holds a byte that is neither visible ASCII nor a space");
  }
  if (byte == ' ') {
    if (++spaces_ == 1 && scanned_ == line_begin_) return fail(400, "the method is missing");
    if (spaces_ > 2) return fail(400, "the request line has more than two spaces");
    version_begin_ = scanned_ + 1;
  } else if (spaces_ == 2) {
    return check_version(buffer.substr(version_begin_, scanned_ + 1 - version_begin_));
  }
  return State::need_more;
}

// `version` may still be growing.
State RequestHeadCheck::check_version(std::string_view version) {
  constexpr std::string_view kPattern = "HTTP/1.1";
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  const std::size_t i = version.size() - 1;
  const bool fits =
      i < kPattern.size() && (digit(kPattern[i]) ? digit(version[i]) : version[i] == kPattern[i]);
  if (!fits) return fail(400, "the HTTP version is malformed");
  if (version.size() == kPattern.size() && !same(version, "HTTP/1.1") &&
      !same(version, "HTTP/1.0")) {
    return fail(505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
  }
  return State::need_more;
}

State RequestHeadCheck::line(std::string_view text) {
  if (seen_request_line_) return text.empty() ? finish() : field_line(text);
  if (!text.empty()) return request_line(text);
  // RFC 9112 section 2.2: one empty line may come before a request.
  if (skipped_ != 0) return fail(400, "more than one empty line before the request line");
  skipped_ = line_begin_;
  return State::need_more;
}

State RequestHeadCheck::request_line(std::string_view line) {
  seen_request_line_ = true;
  const std::size_t first = line.find(' ');
  const std::size_t last = line.rfind(' ');
  // The bytes of a version were checked as they came; here it may only be too short.
  const bool whole = spaces_ == 2 && line.size() == last + sizeof "HTTP/1.1";
  if (!whole) return fail(400, "the request line is not: method, space, target, space, version");
  const std::string_view method = line.substr(0, first);
  if (!http::is_token(method)) return fail(400, "the method is not a token");
  http_1_0_ = line.ends_with("HTTP/1.0");
  method_ = method;
  target_ = line.substr(first + 1, last - first - 1);
  return check_target(method, target_);
}

State RequestHeadCheck::check_target(std::string_view method, std::string_view target) {
  if (target.size() > bounds::kTargetBytes) return fail(414, "the request target is too long");
  if (method.size() > kMethodBytes) return fail(501, "the method is not known");
  if (same(method, "CONNECT") || same(method, "TRACE"))
    return fail(405, "the method is not allowed");
  if (same(target, "*")) {
    return same(method, "OPTIONS") ? State::need_more
                                   : fail(400, "the target * is for OPTIONS only");
  }
  if (target.find('#') != std::string_view::npos) {
    return fail(400, "the request target holds a fragment");
  }
  if (!http::is_origin_form(target) && !http::is_absolute_form(target)) {
    return fail(400, "the request target is neither a path nor an http URL");
  }
  return State::need_more;
}

State RequestHeadCheck::field_line(std::string_view line) {
  if (++fields_ > limits_.fields) return fail(431, "the request has too many header fields");
  const http::Field field = http::split_field(line);
  if (field.fault) return fail(400, std::string(http::describe(*field.fault)));
  if (noted_ != nullptr) noted_->push_back({field.name, field.value});
  const auto is = [&field](std::string_view name) {
    return http::equals_ignoring_case(field.name, name);
  };
  switch (field.name.size()) {
    case 4:
      if (is("host")) return host(field.value);
      break;
    case 6:
      if (is("expect")) return expect(field.value);
      break;
    case 10:
      if (is("connection")) connection(field.value);
      break;
    case 14:
      if (is("content-length")) return content_length_field(field.value);
      break;
    case 16:
      if (is("proxy-connection")) bad_connection_ |= !http::is_token_list(field.value);
      break;
    case 17:
      if (is("transfer-encoding")) return transfer_encoding(field.value);
      break;
    default:
      break;
  }
  return State::need_more;
}

State RequestHeadCheck::host(std::string_view value) {
  if (++hosts_ > 1) return fail(400, "more than one Host header");
  if (!http::is_host(value)) return fail(400, "the Host header is not a host and an optional port");
  return State::need_more;
}

State RequestHeadCheck::content_length_field(std::string_view value) {
  if (++lengths_ > 1) return fail(400, "more than one Content-Length header");
  if (encodings_ > 0) return fail(400, "both Transfer-Encoding and Content-Length");
  const std::optional<std::uint64_t> length = http::parse_content_length(value);
  if (!length) return fail(400, "Content-Length is not one decimal number");
  content_length_ = *length;
  return State::need_more;
}

State RequestHeadCheck::transfer_encoding(std::string_view value) {
  if (++encodings_ > 1) return fail(400, "more than one Transfer-Encoding header");
  if (lengths_ > 0) return fail(400, "both Transfer-Encoding and Content-Length");
  if (http_1_0_) return fail(400, "Transfer-Encoding in an HTTP/1.0 request");
  if (http::equals_ignoring_case(value, "chunked")) return State::need_more;
  // A body whose last coding is not chunked has no end that both sides agree on (RFC 9112
  // section 6.3).
  std::string_view rest = value;
  std::string_view last;
  bool chunked_before = false;
  while (!rest.empty()) {
    chunked_before = chunked_before || http::equals_ignoring_case(last, "chunked");
    last = http::take_element(rest);
  }
  if (!http::equals_ignoring_case(last, "chunked") || chunked_before || value.ends_with(',')) {
    return fail(400, "Transfer-Encoding is not chunked");
  }
  return fail(501, "Transfer-Encoding names a coding besides chunked");
}

State RequestHeadCheck::expect(std::string_view value) {
  if (!http::equals_ignoring_case(value, "100-continue")) {
    return fail(417, "the expectation is not 100-continue");
  }
  expect_continue_ = true;
  return State::need_more;
}

void RequestHeadCheck::connection(std::string_view value) {
  bad_connection_ |= !http::is_token_list(value);
  while (!value.empty()) {
    const std::string_view option = http::take_element(value);
    if (http::equals_ignoring_case(option, "close")) close_asked_ = true;
    if (http::equals_ignoring_case(option, "keep-alive")) keep_alive_asked_ = true;
  }
}

State RequestHeadCheck::finish() {
  if (hosts_ == 0 && !http_1_0_) return fail(400, "the Host header is missing");
  if (bad_connection_) return fail(400, "the Connection header is not a list of options");
  head_bytes_ = line_begin_;
  if (encodings_ > 0) {
    framing_ = BodyFraming::chunked;
  } else if (lengths_ > 0) {
    framing_ = BodyFraming::length;
  }
  keep_alive_ = !close_asked_ && (!http_1_0_ || keep_alive_asked_);
  // Nobody waits for a 100 in HTTP/1.0, nor where no body follows.
  const bool body = encodings_ > 0 || content_length_ > 0;
  expect_continue_ = expect_continue_ && body && !http_1_0_;
  return State::complete;
}

}  // namespace spillway
