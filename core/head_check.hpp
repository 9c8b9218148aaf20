// The strict check of an HTTP/1.x head, before Beast sees it. Beast's parser is lenient where
// leniency lets one request be read as two (facts: request smuggling); this check is at least as
// strict as RFC 9112 asks, and judges line by line so that a bad head is answered without waiting
// for its end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/outcome.hpp"

namespace spillway {

enum class BodyFraming : std::uint8_t { none, length, chunked, until_close /* responses only */ };

struct HeadFault {
  int status;           // 400, 405, 408, 413, 414, 417, 431, 501, 505
  std::string message;  // which rule was broken
};

struct HeadLimits {
  std::size_t bytes;   // whole head; more: 431 (the request line alone: 414)
  std::size_t fields;  // more: 431
};

class RequestHeadCheck {
 public:
  // `fields`, if any, outlives the check, is emptied now, and holds the head's fields once it is
  // complete, in their order: views into the buffer that was given to the last feed().
  explicit RequestHeadCheck(HeadLimits limits, std::vector<HeaderView>* fields = nullptr)
      : limits_(limits), noted_(fields) {
    if (noted_ != nullptr) noted_->clear();
  }

  enum class State : std::uint8_t { need_more, complete, bad };

  // `buffer` holds everything received since the request's start, a longer one at each call. Judges
  // all lines that are complete, and what can already be seen of the one that is not (length,
  // forbidden bytes). A complete head may be given once more where it stays: the views follow.
  State feed(std::string_view buffer);

  const HeadFault& fault() const { return fault_; }  // when bad

  // The rest is said when complete.
  std::string_view method() const { return method_; }     // into the buffer of the last feed()
  std::string_view target() const { return target_; }     // likewise; in the form that was sent
  std::size_t head_bytes() const { return head_bytes_; }  // up to and with the empty line
  std::size_t skipped_bytes() const { return skipped_; }  // a leading CRLF that Beast must not see
  BodyFraming framing() const { return framing_; }
  std::uint64_t content_length() const { return content_length_; }
  bool keep_alive() const { return keep_alive_; }
  bool http_1_0() const { return http_1_0_; }
  bool expect_continue() const { return expect_continue_; }

 private:
  State fail(int status, std::string message);
  void follow(std::string_view buffer);
  State scan(std::string_view buffer);
  State scan_line(std::string_view buffer);
  std::optional<std::string_view> clean_line(std::string_view buffer) const;
  State clean_request_line(std::string_view buffer, std::string_view line);
  State check_size();
  State check_byte(std::string_view buffer, char byte);
  State check_request_line_byte(std::string_view buffer, char byte);
  State check_version(std::string_view version);
  State line(std::string_view text);
  State request_line(std::string_view line);
  State check_target(std::string_view method, std::string_view target);
  State field_line(std::string_view line);
  State host(std::string_view value);
  State content_length_field(std::string_view value);
  State transfer_encoding(std::string_view value);
  State expect(std::string_view value);
  void connection(std::string_view value);
  State finish();

  HeadLimits limits_;
  std::vector<HeaderView>* noted_;
  const char* buffer_ = nullptr;  // that of the last feed(), where the views point
  std::string_view method_, target_;
  State state_ = State::need_more;
  HeadFault fault_{};
  std::size_t line_begin_ = 0;     // where the first unjudged line starts
  std::size_t scanned_ = 0;        // bytes already looked at
  std::size_t spaces_ = 0;         // of the request line so far
  std::size_t version_begin_ = 0;  // behind the second of them
  std::size_t head_bytes_ = 0;
  std::size_t skipped_ = 0;
  std::size_t fields_ = 0;
  std::uint64_t content_length_ = 0;
  unsigned hosts_ = 0, lengths_ = 0, encodings_ = 0;
  BodyFraming framing_ = BodyFraming::none;
  bool seen_request_line_ = false;
  bool http_1_0_ = false;
  bool close_asked_ = false;       // Connection: close
  bool keep_alive_asked_ = false;  // Connection: keep-alive, which HTTP/1.0 needs
  bool keep_alive_ = true;
  bool expect_continue_ = false;
  bool bad_connection_ = false;  // Connection is no list of tokens
};

// What a response's head says, beside its fields.
struct ResponseHead {
  int status = 0;  // 100 to 599
  bool http_1_0 = false;
  BodyFraming framing = BodyFraming::none;  // none: 1xx, 204 and 304, whatever their fields say
  std::uint64_t content_length = 0;         // where that is the framing; may be 0
  bool keep_alive = false;  // behind the body the connection can carry another answer
};

// Judges a complete response head (with its empty line) of a request other than HEAD and CONNECT:
// status line, field syntax, obs-fold, contradictory framing; the error says what is wrong with it.
// `fields` is emptied and holds the fields in their order, as views into `head`.
std::expected<ResponseHead, std::string> read_response_head(std::string_view head,
                                                            std::vector<HeaderView>& fields);

// The same without what it says. nullopt: acceptable; else what is wrong with it.
std::optional<std::string> check_response_head(std::string_view head);

// True if `text` may be a header value we emit: no CR, LF, NUL or other control bytes (tab
// allowed).
bool safe_header_value(std::string_view text);

}  // namespace spillway
