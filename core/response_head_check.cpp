// The head check for what providers answer. A proxy that guesses at broken framing may hand one
// caller another's answer, so that contradictions are failures (RFC 9112 section 6.3).
#include <algorithm>

#include "core/head_bytes.hpp"
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

// Takes the next line off `head`; nullopt if there is none that ends in CRLF.
std::optional<std::string_view> take_line(std::string_view& head) {
  const std::size_t end = head.find('\n');
  if (end == std::string_view::npos || end == 0 || head[end - 1] != '\r') return std::nullopt;
  const std::string_view line = head.substr(0, end - 1);
  head.remove_prefix(end + 1);
  return line;
}

// The same for a line of which no byte is forbidden; else takes nothing.
std::optional<std::string_view> take_clean_line(std::string_view& head) {
  const char* end = head.data() + head.size();
  const char* cr = http::find_forbidden(head.data(), end);
  if (end - cr < 2 || cr[0] != '\r' || cr[1] != '\n') return std::nullopt;
  const std::string_view line = head.substr(0, static_cast<std::size_t>(cr - head.data()));
  head.remove_prefix(line.size() + 2);
  return line;
}

class ResponseHeadReader {
 public:
  ResponseHeadReader(std::string_view head, std::vector<HeaderView>& fields)
      : left_(head), fields_(fields) {
    fields_.clear();
  }

  std::expected<ResponseHead, std::string> read() {
    if (Complaint complaint = status_line()) return std::unexpected(std::move(*complaint));
    while (true) {
      const std::optional<std::string_view> line = take_clean_line(left_);
      // A CR within the line is a control byte too: the one of the line's end was taken off.
      if (!line && take_line(left_)) return std::unexpected("the head holds a control byte");
      if (!line) return std::unexpected("a header line does not end in CRLF");
      if (line->empty()) break;
      const http::Field split = http::split_field(*line);
      if (split.fault) return std::unexpected(std::string(http::describe(*split.fault)));
      if (Complaint complaint = field(split)) return std::unexpected(std::move(*complaint));
    }
    if (!left_.empty()) return std::unexpected("bytes follow the head's empty line");
    if (bad_connection_) return std::unexpected("the Connection header is not a list of options");
    return finish();
  }

 private:
  Complaint status_line() {
    const std::optional<std::string_view> clean = take_clean_line(left_);
    const std::optional<std::string_view> line = clean ? clean : take_line(left_);
    if (!line || !is_status_line(*line)) return "the status line is malformed";
    if (!clean) return "the head holds a control byte";
    head_.http_1_0 = (*line)[7] == '0';
    head_.status = ((*line)[9] - '0') * 100 + ((*line)[10] - '0') * 10 + ((*line)[11] - '0');
    return std::nullopt;
  }

  Complaint field(const http::Field& field) {
    fields_.push_back({field.name, field.value});
    const auto is = [&field](std::string_view name) {
      return http::equals_ignoring_case(field.name, name);
    };
    // Some providers still call it Proxy-Connection.
    if (is("connection") || is("proxy-connection")) connection(field.value);
    if (is("content-length")) return content_length(field.value);
    if (is("transfer-encoding")) return transfer_encoding(field.value);
    return std::nullopt;
  }

  Complaint content_length(std::string_view value) {
    if (lengths_++ > 0) return "more than one Content-Length header";
    const std::optional<std::uint64_t> length = http::parse_content_length(value);
    if (!length) return "Content-Length is not one number";
    head_.content_length = *length;
    return both();
  }

  Complaint transfer_encoding(std::string_view value) {
    if (encodings_++ > 0) return "more than one Transfer-Encoding header";
    if (head_.http_1_0) return "Transfer-Encoding in an HTTP/1.0 response";
    if (!http::equals_ignoring_case(value, "chunked")) return "Transfer-Encoding is not chunked";
    return both();
  }

  Complaint both() const {
    if (lengths_ > 0 && encodings_ > 0) return "both Transfer-Encoding and Content-Length";
    return std::nullopt;
  }

  void connection(std::string_view value) {
    bad_connection_ |= !http::is_token_list(value);
    while (!value.empty()) {
      const std::string_view option = http::take_element(value);
      close_ |= http::equals_ignoring_case(option, "close");
      keep_alive_ |= http::equals_ignoring_case(option, "keep-alive");
    }
  }

  // RFC 9112 section 6.3.
  ResponseHead finish() {
    if (head_.status < 200 || head_.status == 204 || head_.status == 304) {
      head_.framing = BodyFraming::none;
    } else if (encodings_ > 0) {
      head_.framing = BodyFraming::chunked;
    } else {
      head_.framing = lengths_ > 0 ? BodyFraming::length : BodyFraming::until_close;
    }
    if (head_.framing != BodyFraming::length) head_.content_length = 0;
    const bool kept = head_.http_1_0 ? keep_alive_ : !close_;
    head_.keep_alive = kept && head_.framing != BodyFraming::until_close;
    return head_;
  }

  std::string_view left_;
  std::vector<HeaderView>& fields_;
  ResponseHead head_;
  unsigned lengths_ = 0, encodings_ = 0;
  bool close_ = false;
  bool keep_alive_ = false;
  bool bad_connection_ = false;
};

}  // namespace

std::expected<ResponseHead, std::string> read_response_head(std::string_view head,
                                                            std::vector<HeaderView>& fields) {
  return ResponseHeadReader(head, fields).read();
}

std::optional<std::string> check_response_head(std::string_view head) {
  std::vector<HeaderView> fields;
  auto read = read_response_head(head, fields);
  if (!read) return std::move(read.error());
  return std::nullopt;
}

bool safe_header_value(std::string_view text) {
  const char* end = text.data() + text.size();
  return http::find_forbidden(text.data(), end) == end;
}

}  // namespace spillway
