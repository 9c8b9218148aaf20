// The head check for what providers answer. A proxy that guesses at broken framing may hand one
// caller another's answer, so that contradictions are failures (RFC 9112 section 6.3).
#include <algorithm>

#include "core/head_check.hpp"
#include "core/http_syntax.hpp"

namespace spillway {

namespace {

using Complaint = std::optional<std::string>;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// HTTP-version SP status-code [ SP reason ]
bool is_status_line(std::string_view line) {
  if (!line.starts_with("HTTP/1.1 ") && !line.starts_with("HTTP/1.0 ")) return false;
  const std::string_view status = line.substr(9, 3);
  if (status.size() != 3 || !std::ranges::all_of(status, is_digit)) return false;
  const bool in_range = status[0] >= '1' && status[0] <= '5';
  return in_range && (line.size() == 12 || line[12] == ' ');
}

class ResponseFraming {
 public:
  explicit ResponseFraming(bool http_1_0) : http_1_0_(http_1_0) {}

  Complaint field(const http::Field& field) {
    if (http::equals_ignoring_case(field.name, "content-length")) {
      if (++lengths_ > 1) return "more than one Content-Length header";
      if (!http::parse_content_length(field.value)) return "Content-Length is not one number";
    } else if (http::equals_ignoring_case(field.name, "transfer-encoding")) {
      if (++encodings_ > 1) return "more than one Transfer-Encoding header";
      if (http_1_0_) return "Transfer-Encoding in an HTTP/1.0 response";
      if (!http::equals_ignoring_case(field.value, "chunked")) {
        return "Transfer-Encoding is not chunked";
      }
    }
    if (lengths_ > 0 && encodings_ > 0) return "both Transfer-Encoding and Content-Length";
    return std::nullopt;
  }

 private:
  bool http_1_0_;
  unsigned lengths_ = 0;
  unsigned encodings_ = 0;
};

// Takes the next line off `head`; nullopt if there is none that ends in CRLF.
std::optional<std::string_view> take_line(std::string_view& head) {
  const std::size_t end = head.find('\n');
  if (end == std::string_view::npos || end == 0 || head[end - 1] != '\r') return std::nullopt;
  const std::string_view line = head.substr(0, end - 1);
  head.remove_prefix(end + 1);
  return line;
}

}  // namespace

std::optional<std::string> check_response_head(std::string_view head) {
  const std::optional<std::string_view> status_line = take_line(head);
  if (!status_line || !is_status_line(*status_line)) return "the status line is malformed";
  if (std::ranges::any_of(*status_line, http::is_forbidden)) return "the head holds a control byte";
  ResponseFraming framing(status_line->starts_with("HTTP/1.0"));
  while (true) {
    const std::optional<std::string_view> line = take_line(head);
    if (!line) return "a header line does not end in CRLF";
    if (line->empty()) break;
    // This finds bare CRs too: the CR of the line's end was taken off.
    if (std::ranges::any_of(*line, http::is_forbidden)) return "the head holds a control byte";
    const http::Field field = http::split_field(*line);
    if (field.fault) return std::string(http::describe(*field.fault));
    if (Complaint complaint = framing.field(field)) return complaint;
  }
  if (!head.empty()) return "bytes follow the head's empty line";
  return std::nullopt;
}

bool safe_header_value(std::string_view text) {
  return std::ranges::none_of(text, http::is_forbidden);
}

}  // namespace spillway
