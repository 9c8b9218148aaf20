#include "tests/bench/answer_reader.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>

#include "tests/bench/answers.hpp"

namespace spillway::bench {
namespace {

constexpr std::size_t kHeadBytes = 64 * 1024;

}  // namespace

void AnswerReader::reset() {
  part_ = Part::head;
  head_.clear();
  line_.clear();
  event_line_.clear();
  left_ = 0;
  status_ = 0;
  stream_ = done_ = false;
}

AnswerReader::State AnswerReader::take(std::string_view bytes) {
  events_.clear();
  while (!bytes.empty()) {
    switch (part_) {
      case Part::head:
        if (!take_head(bytes)) return State::broken;
        break;
      case Part::sized:
      case Part::chunk_data: {
        const std::string_view data = bytes.substr(0, left_);
        bytes.remove_prefix(data.size());
        left_ -= data.size();
        take_data(data);
        if (left_ == 0) part_ = part_ == Part::sized ? Part::end : Part::chunk_end;
        break;
      }
      case Part::chunk_size:
      case Part::chunk_end:
      case Part::trailer:
        if (take_line(bytes) && !take_chunk_line()) return State::broken;
        break;
      case Part::end:
        return State::broken;
    }
  }
  return part_ == Part::end ? State::complete : State::reading;
}

bool AnswerReader::take_head(std::string_view& bytes) {
  const std::size_t before = head_.size();
  head_ += bytes;
  const std::size_t end = head_.find("\r\n\r\n", before < 3 ? 0 : before - 3);
  if (end == head_.npos) {
    bytes = {};
    return head_.size() < kHeadBytes;
  }
  bytes.remove_prefix(end + 4 - before);
  head_.resize(end + 2);
  read_head();
  return part_ != Part::head;
}

void AnswerReader::read_head() {
  std::transform(head_.begin(), head_.end(), head_.begin(),
                 [](unsigned char byte) { return static_cast<char>(std::tolower(byte)); });
  if (!head_.starts_with("http/1.1 ")) return;
  std::from_chars(head_.data() + 9, head_.data() + 12, status_);
  stream_ = head_.find("\r\ncontent-type: text/event-stream") != head_.npos;
  constexpr std::string_view kLength = "\r\ncontent-length: ";
  if (head_.find("\r\ntransfer-encoding: chunked\r\n") != head_.npos) {
    part_ = Part::chunk_size;
  } else if (const std::size_t at = head_.find(kLength); at != head_.npos) {
    std::from_chars(head_.data() + at + kLength.size(), head_.data() + head_.size(), left_);
    part_ = left_ == 0 ? Part::end : Part::sized;
  }
}

bool AnswerReader::take_line(std::string_view& bytes) {
  const std::size_t end = bytes.find('\n');
  line_ += bytes.substr(0, end);
  const bool whole = end != bytes.npos;
  bytes.remove_prefix(whole ? end + 1 : bytes.size());
  if (!whole) return false;
  if (line_.ends_with('\r')) line_.pop_back();
  return true;
}

bool AnswerReader::take_chunk_line() {
  bool sane = true;
  if (part_ == Part::chunk_size) {
    const auto [rest, error] =
        std::from_chars(line_.data(), line_.data() + line_.size(), left_, 16);
    sane = error == std::errc();
    part_ = left_ == 0 ? Part::trailer : Part::chunk_data;
  } else if (part_ == Part::chunk_end) {
    sane = line_.empty();
    part_ = Part::chunk_size;
  } else if (line_.empty()) {
    part_ = Part::end;
  }
  line_.clear();
  return sane;
}

void AnswerReader::take_data(std::string_view data) {
  if (!stream_) return;
  for (std::size_t end; (end = data.find('\n')) != data.npos; data.remove_prefix(end + 1)) {
    if (event_line_.empty()) {
      take_event_line(data.substr(0, end));
    } else {
      event_line_ += data.substr(0, end);
      take_event_line(event_line_);
      event_line_.clear();
    }
  }
  event_line_ += data;
}

void AnswerReader::take_event_line(std::string_view line) {
  constexpr std::string_view kData = "data: ";
  if (!line.starts_with(kData)) return;
  if (line.substr(kData.size()).starts_with("[DONE]")) {
    done_ = true;
    return;
  }
  std::uint64_t sent = 0;
  const std::size_t at = line.find(kTimeMark);
  if (at != line.npos && at + kTimeMark.size() + kTimeDigits <= line.size()) {
    const char* digits = line.data() + at + kTimeMark.size();
    std::from_chars(digits, digits + kTimeDigits, sent);
  }
  events_.push_back(sent);
}

}  // namespace spillway::bench
