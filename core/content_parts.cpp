// The splice for providers whose `content` must be a string: text parts become one string without
// being rewritten.
#include <utility>

#include "core/body_edits.hpp"
#include "core/json_scan.hpp"

namespace spillway {

namespace {

class TextPartJoiner {
 public:
  TextPartJoiner(std::string_view messages, std::size_t offset)
      : messages_(messages), cursor_(messages), offset_(offset) {}

  std::vector<Cut> join() {
    if (!cursor_.enter_array()) return {};
    while (cursor_.next_element()) message();
    return std::move(cuts_);
  }

 private:
  void message() {
    if (!cursor_.enter_object_or_skip()) return;
    JsonString key;
    while (cursor_.next_member(key)) {
      if (key.is("content") && cursor_.peek() == JsonType::array) {
        content();
      } else {
        cursor_.skip();
      }
    }
  }

  void content() {
    const std::size_t begin = cursor_.offset();
    bool text_only = true;
    texts_.clear();
    cursor_.enter_array();
    while (cursor_.next_element()) {
      if (const std::optional<std::string_view> text = part()) {
        texts_.push_back(*text);
      } else {
        text_only = false;
      }
    }
    if (text_only) replace(begin, cursor_.offset());
  }

  // Passes one part; its text (as spelled, without quotes) if that is what the part is.
  std::optional<std::string_view> part() {
    if (!cursor_.enter_object_or_skip()) return std::nullopt;
    unsigned types = 0, texts = 0;
    bool is_text = false;
    JsonString key, type, text;
    while (cursor_.next_member(key)) {
      const bool string = cursor_.peek() == JsonType::string;
      if (key.is("type") && string) {
        cursor_.read_string(type);
        is_text = type.is("text");
        ++types;
      } else if (key.is("text") && string) {
        cursor_.read_string(text);
        ++texts;
      } else {
        cursor_.skip();
      }
    }
    // A part that repeats itself says two things: it is left for the provider to judge.
    if (!is_text || types != 1 || texts != 1) return std::nullopt;
    return text.raw;
  }

  // Everything of the array but the texts goes; the quotes around them stay.
  void replace(std::size_t begin, std::size_t end) {
    if (texts_.empty()) {
      cuts_.push_back({offset_ + begin, offset_ + end, "\"\""});
      return;
    }
    std::size_t from = begin;
    std::string separator = "\"";
    for (const std::string_view text : texts_) {
      const auto at = static_cast<std::size_t>(text.data() - messages_.data());
      cuts_.push_back({offset_ + from, offset_ + at, std::exchange(separator, "")});
      from = at + text.size();
    }
    cuts_.push_back({offset_ + from, offset_ + end, "\""});
  }

  std::string_view messages_;
  JsonCursor cursor_;
  std::size_t offset_;
  std::vector<std::string_view> texts_;
  std::vector<Cut> cuts_;
};

}  // namespace

std::vector<Cut> join_text_parts(std::string_view messages, std::size_t offset) {
  return TextPartJoiner(messages, offset).join();
}

}  // namespace spillway
