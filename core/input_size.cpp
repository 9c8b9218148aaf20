#include "core/input_size.hpp"

#include "core/json_scan.hpp"

namespace spillway {

namespace {

constexpr std::uint64_t kBytesPerToken = 8;

// Bytes of UTF-8 that a string stands for, at least: what is escaped takes one byte, or two where
// it names a character (two bytes are a surrogate's share of four).
std::uint64_t text_bytes(const JsonString& text) {
  if (!text.escaped) return text.raw.size();
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < text.raw.size(); ++bytes) {
    if (text.raw[i] != '\\') {
      ++i;
    } else if (text.raw[i + 1] == 'u') {
      const bool latin = text.raw.substr(i + 2, 2) == "00";
      if (!latin) ++bytes;
      i += 6;
    } else {
      i += 2;
    }
  }
  return bytes;
}

// Adds up what `content` holds: a text, or an array of parts with a text each.
class TextCounter {
 public:
  explicit TextCounter(std::string_view messages) : cursor_(messages) {}

  std::uint64_t bytes() {
    if (!cursor_.enter_array()) return 0;
    while (cursor_.next_element()) count_message();
    return bytes_;
  }

 private:
  void count_message() {
    if (!cursor_.enter_object_or_skip()) return;
    JsonString key;
    while (cursor_.next_member(key)) {
      if (key.is("content")) {
        count_content();
      } else {
        cursor_.skip();
      }
    }
  }

  void count_content() {
    if (count_text()) return;
    if (!cursor_.enter_array()) {
      cursor_.skip();
      return;
    }
    while (cursor_.next_element()) count_part();
  }

  void count_part() {
    if (!cursor_.enter_object_or_skip()) return;
    JsonString key;
    while (cursor_.next_member(key)) {
      if (!key.is("text") || !count_text()) cursor_.skip();
    }
  }

  bool count_text() {
    JsonString text;
    if (!cursor_.read_string(text)) return false;
    bytes_ += text_bytes(text);
    return true;
  }

  JsonCursor cursor_;
  std::uint64_t bytes_ = 0;
};

}  // namespace

std::uint64_t least_input_tokens(std::string_view body, const BodyView& view) {
  const BodyMember* messages = view.find("messages");
  if (messages == nullptr || messages->type != JsonType::array) return 0;
  const std::string_view text =
      body.substr(messages->value_begin, messages->value_end - messages->value_begin);
  return TextCounter(text).bytes() / kBytesPerToken;
}

}  // namespace spillway
