#include "core/stream_relay.hpp"

#include <algorithm>
#include <utility>

#include "core/bounds.hpp"

namespace spillway {

namespace {

constexpr std::string_view kDone = "data: [DONE]\n\n";
constexpr std::string_view kDroppedMark = ": spillway dropped a malformed event\n\n";

// Up to and with the first byte that may end a line.
std::string_view first_line(std::string_view bytes) {
  return bytes.substr(0, std::min(find_line_end(bytes) + 1, bytes.size()));
}

}  // namespace

StreamState StreamRelay::feed(std::string_view bytes) {
  while (!bytes.empty() && open()) {
    if (oversized_) {
      bytes = continue_oversized(bytes);
    } else if (!pending_.empty()) {
      bytes = complete_pending(bytes);
    } else {
      bytes = take_whole(bytes);
    }
  }
  return state_;
}

void StreamRelay::clear_output() {
  output_.clear();
  kept_.clear();
}

void StreamRelay::keep_output() {
  for (std::string_view& piece : output_) piece = kept_.emplace_front(piece);
}

bool StreamRelay::at_boundary() const {
  return !oversized_;
}

std::size_t StreamRelay::memory() const {
  std::size_t bytes = pending_.capacity() + held_.capacity() + pattern_.memory();
  if (failure_) bytes += failure_->body.capacity();
  for (const std::string& text : kept_) bytes += text.capacity();
  return bytes;
}

// One whole event from where it lies, or the beginning of one, which is copied.
std::string_view StreamRelay::take_whole(std::string_view bytes) {
  const std::optional<SseEvent> event = scanner_.next(bytes);
  const std::string_view raw = bytes.substr(0, event ? event->bytes : bytes.size());
  if (raw.size() > bounds::kEventBytes) {
    start_relaying();
    ++events_;
    oversized_ = !event;
    oversized_bytes_ = 0;
    pass_oversized(raw);
  } else if (event) {
    take(raw, judge(*event));
  } else {
    pending_.assign(raw);
  }
  return bytes.substr(raw.size());
}

// Line by line, so that no more is copied than belongs to the event.
std::string_view StreamRelay::complete_pending(std::string_view bytes) {
  const std::size_t before = pending_.size();
  const std::string_view line = first_line(bytes).substr(0, bounds::kEventBytes + 1 - before);
  pending_.append(line);
  const std::optional<SseEvent> event = scanner_.next(pending_);
  const std::size_t length = event ? event->bytes : pending_.size();
  pending_.resize(length);  // an event may turn out to have ended with the bytes before
  if (length > bounds::kEventBytes) {
    start_relaying();
    ++events_;
    oversized_ = !event;
    oversized_bytes_ = 0;
    pass_oversized(kept_.emplace_front(std::exchange(pending_, {})));
  } else if (event) {
    const Verdict verdict = judge(*event);
    if (puts_out(verdict)) {
      take(kept_.emplace_front(std::exchange(pending_, {})), verdict);
    } else {
      take(pending_, verdict);
      pending_.clear();
    }
  }
  return bytes.substr(length - before);
}

std::string_view StreamRelay::continue_oversized(std::string_view bytes) {
  const std::optional<std::size_t> end = scanner_.skip(bytes);
  const std::size_t length = end.value_or(bytes.size());
  pass_oversized(bytes.substr(0, length));
  if (end && open()) oversized_ = false;
  return bytes.substr(length);
}

void StreamRelay::pass_oversized(std::string_view bytes) {
  // Nobody looks at what it says.
  if (transcript_ && transcript_->resuming()) return diverge();
  if (transcript_) transcript_->forsake();
  const std::size_t allowed = bounds::kEventBytesUnjudged - oversized_bytes_;
  const std::string_view passed = bytes.substr(0, allowed);
  if (!passed.empty()) output_.push_back(passed);
  oversized_bytes_ += passed.size();
  if (passed.size() == bytes.size()) return;
  oversized_ = true;  // what was put out does not end at a boundary
  fail_protocol("an event of the stream is too large");
}

// True if take() lets the event's own bytes out.
bool StreamRelay::puts_out(Verdict verdict) const {
  switch (verdict) {
    case Verdict::hold:
      return state_ == StreamState::relaying;
    case Verdict::content:
    case Verdict::terminal:
    case Verdict::failed_terminal:
      return true;
    case Verdict::drop:
    case Verdict::error:
    case Verdict::early_end:
    case Verdict::swallow:
    case Verdict::diverged:
      return false;
  }
  return false;
}

void StreamRelay::take(std::string_view raw, Verdict verdict) {
  if (verdict == Verdict::content || verdict == Verdict::terminal) start_relaying();
  if (replacement_)
    output_.push_back(*std::exchange(replacement_, nullptr));
  else if (puts_out(verdict))
    output_.push_back(raw);
  switch (verdict) {
    case Verdict::content:
    case Verdict::swallow:
      break;
    case Verdict::diverged:
      diverge();
      break;
    case Verdict::hold:
      if (state_ == StreamState::holding) hold(raw);
      break;
    case Verdict::drop:
      ++dropped_;
      if (state_ == StreamState::holding) {
        hold(kDroppedMark);
      } else {
        output_.push_back(kDroppedMark);
      }
      break;
    case Verdict::terminal:
      state_ = StreamState::complete;
      break;
    case Verdict::failed_terminal:
      terminal_relayed_ = true;
      state_ = StreamState::failed;
      break;
    case Verdict::error:
      state_ = StreamState::failed;
      break;
    case Verdict::early_end:
      fail_protocol(state_ == StreamState::holding ? "the stream ended before its first token"
                                                   : "the stream ended before its terminal event");
      break;
  }
}

void StreamRelay::hold(std::string_view raw) {
  held_.append(raw);
  if (held_.size() > bounds::kHeldStreamBytes) start_relaying();
}

void StreamRelay::start_relaying() {
  if (state_ != StreamState::holding) return;
  state_ = StreamState::relaying;
  begun_ = true;
  if (!held_.empty()) output_.push_back(kept_.emplace_front(std::exchange(held_, {})));
}

StreamState StreamRelay::finish() {
  if (!open()) return state_;
  if (!oversized_) {
    finish_pending();
  } else if (!scanner_.last({}, SseScanner::AtEnd::terminated)) {
    fail_protocol("the stream was cut inside an event");
  }
  if (open()) finish_dialect();
  return state_;
}

// What was left unfinished at the end: an event that only waited to see whether an LF follows, a
// [DONE] without its blank line, or a piece of an event.
void StreamRelay::finish_pending() {
  if (pending_.find_first_not_of("\r\n") == std::string::npos) {
    if (state_ == StreamState::relaying) output_.push_back(pending_);
    return;
  }
  if (const auto event = scanner_.last(pending_, SseScanner::AtEnd::terminated)) {
    const Verdict verdict = judge(*event);
    take(kept_.emplace_front(std::exchange(pending_, {})), verdict);
    return;
  }
  const auto event = scanner_.last(pending_, SseScanner::AtEnd::unterminated);
  if (event->has_data && is_stream_done(event->data)) {
    take(kDone, judge_done());
    return;
  }
  // Some gateways answer a stream request with a plain JSON error.
  const std::optional<EventFacts> facts = read_event(pending_);
  if (state_ == StreamState::holding && facts && (facts->error || facts->bare_error)) {
    take(pending_, in_band_error(pending_));
    return;
  }
  fail_protocol("the stream was cut inside an event");
}

void StreamRelay::finish_dialect() {
  if (transcript_ && !transcript_->caught_up()) {
    diverge();
    return;
  }
  if (state_ == StreamState::holding) {
    fail_protocol("the stream ended before its first token");
    return;
  }
  switch (dialect_) {
    case StreamDialect::chat:
    case StreamDialect::completions:
      // Every choice that was begun must have been finished: another's finish reason does not speak
      // for it.
      if (finished_.any() && finished_ == choices_) {
        output_.push_back(kDone);
        state_ = StreamState::complete;
      } else {
        fail_protocol("the stream ended without a finish reason and without [DONE]");
      }
      return;
    case StreamDialect::responses:
      fail_protocol("the stream ended before its terminal event");
      return;
    case StreamDialect::framing:
      state_ = StreamState::complete;
      return;
  }
}

void StreamRelay::diverge() {
  diverged_ = true;
  fail_protocol("another deployment's answer differs from what was already sent");
}

void StreamRelay::fail_protocol(std::string detail) {
  failure_ = std::make_unique<Ending>();
  failure_->outcome = ProtocolViolation{std::move(detail)};
  state_ = StreamState::failed;
}

}  // namespace spillway
