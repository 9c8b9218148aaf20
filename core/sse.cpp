#include "core/sse.hpp"

#include <algorithm>

namespace spillway {

namespace {

// Takes the next line off `text`, without its end.
std::string_view take_line(std::string_view& text) {
  const std::size_t end = find_line_end(text);
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end);
  if (text.starts_with("\r\n")) {
    text.remove_prefix(2);
  } else if (!text.empty()) {
    text.remove_prefix(1);
  }
  return line;
}

struct SseField {
  std::string_view name;
  std::string_view value;
};

SseField split(std::string_view line) {
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return {line, {}};
  std::string_view value = line.substr(colon + 1);
  if (value.starts_with(' ')) value.remove_prefix(1);
  return {line.substr(0, colon), value};
}

}  // namespace

std::size_t find_line_end(std::string_view text) {
  // In blocks, so that a stream without LF is not searched to its end for every line.
  constexpr std::size_t kBlock = 512;
  for (std::size_t at = 0; at < text.size(); at += kBlock) {
    const std::string_view block = text.substr(at, kBlock);
    const std::size_t lf = std::min(block.find('\n'), block.size());
    const std::size_t end = std::min(block.substr(0, lf).find('\r'), lf);
    if (end < block.size()) return at + end;
  }
  return text.size();
}

std::optional<std::size_t> SseBoundary::find(std::string_view more) {
  for (std::size_t i = 0; i < more.size(); ++i) {
    const char c = more[i];
    if (blank_cr_) {
      blank_cr_ = false;
      bare_cr_ = c != '\n';
      return c == '\n' ? i + 1 : i;
    }
    if (after_cr_) {
      after_cr_ = false;
      bare_cr_ = c != '\n';
      if (c == '\n') continue;
    }
    if (c == '\n') {
      bare_cr_ = false;
      if (line_empty_) return i + 1;
      line_empty_ = true;
    } else if (c == '\r') {
      const bool blank = line_empty_;
      line_empty_ = true;
      after_cr_ = !blank || bare_cr_;
      blank_cr_ = blank && !bare_cr_;
      if (blank && bare_cr_) return i + 1;
    } else {
      line_empty_ = false;
      i += find_line_end(more.substr(i)) - 1;
    }
  }
  return std::nullopt;
}

// The event of nearly all streams: one line of data and a blank one, both ended by LF, all there.
std::optional<SseEvent> SseScanner::single_line(std::string_view pending) {
  constexpr std::string_view kData = "data:";
  if (searched_ != 0 || !pending.starts_with(kData) || !boundary_.at_event()) return std::nullopt;
  const std::size_t lf = pending.find('\n');
  if (lf == std::string_view::npos || pending.size() - lf < 2 || pending[lf + 1] != '\n')
    return std::nullopt;
  const std::string_view line = pending.substr(0, lf);
  if (line.find('\r') != std::string_view::npos) return std::nullopt;
  boundary_ = SseBoundary();
  at_start_ = false;
  SseEvent event;
  event.bytes = lf + 2;
  event.has_data = true;
  event.data = line.substr(kData.size());
  if (event.data.starts_with(' ')) event.data.remove_prefix(1);
  return event;
}

std::optional<SseEvent> SseScanner::next(std::string_view pending) {
  if (std::optional<SseEvent> event = single_line(pending)) return event;
  const std::optional<std::size_t> end = boundary_.find(pending.substr(searched_));
  if (!end) {
    searched_ = pending.size();
    return std::nullopt;
  }
  const std::size_t bytes = searched_ + *end;
  searched_ = 0;
  return parse(pending.substr(0, bytes));
}

std::optional<std::size_t> SseScanner::skip(std::string_view more) {
  searched_ = 0;
  at_start_ = false;
  return boundary_.find(more);
}

std::optional<SseEvent> SseScanner::last(std::string_view pending, AtEnd wanted) {
  if (wanted == AtEnd::terminated && !boundary_.waits_for_lf()) return std::nullopt;
  return parse(pending);
}

SseEvent SseScanner::parse(std::string_view raw) {
  SseEvent event;
  event.bytes = raw.size();
  if (at_start_ && raw.starts_with("\xEF\xBB\xBF")) raw.remove_prefix(3);
  at_start_ = false;
  bool several = false;
  while (!raw.empty()) {
    const SseField field = split(take_line(raw));
    if (field.name == "event") event.type = field.value;
    if (field.name != "data") continue;
    if (!event.has_data) {
      event.has_data = true;
      event.data = field.value;
      continue;
    }
    if (!several) joined_.assign(event.data);
    several = true;
    joined_.append("\n").append(field.value);
  }
  if (several) event.data = joined_;
  return event;
}

}  // namespace spillway
