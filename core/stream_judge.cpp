// What StreamRelay makes of one whole event.
#include <algorithm>
#include <array>
#include <utility>

#include "core/body.hpp"
#include "core/stream_relay.hpp"

namespace spillway {

namespace {

// Events of /v1/responses that only announce what is to come.
constexpr std::array<std::string_view, 7> kPreludes{"response.created",
                                                    "response.in_progress",
                                                    "response.queued",
                                                    "response.output_item.added",
                                                    "response.content_part.added",
                                                    "keepalive",
                                                    "ping"};

}  // namespace

bool is_stream_done(std::string_view data) {
  if (data.starts_with('{')) return false;  // as nearly always
  const std::size_t begin = data.find_first_not_of(' ');
  if (begin == std::string_view::npos) return false;
  return data.substr(begin, data.find_last_not_of(' ') - begin + 1) == "[DONE]";
}

std::optional<EventFacts> StreamRelay::read(std::string_view data) {
  std::optional<EventFacts> facts = pattern_.match(data);
  if (facts) return facts;
  facts = read_event(data);
  if (facts) pattern_.learn(data, *facts);
  return facts;
}

StreamRelay::Verdict StreamRelay::judge(const SseEvent& event) {
  if (!event.has_data) return Verdict::hold;
  ++events_;
  if (is_stream_done(event.data)) return judge_done();
  const std::optional<EventFacts> facts = read(event.data);
  if (!facts) {
    if (event.type != "error") return Verdict::drop;
    return in_band_error("{\"error\":{\"message\":" + quote(event.data) + "}}");
  }
  if (facts->usage.known) usage_ = facts->usage;
  if (facts->error || facts->bare_error || event.type == "error") return in_band_error(event.data);
  switch (dialect_) {
    case StreamDialect::chat:
    case StreamDialect::completions:
      return judge_choices(*facts, event.data);
    case StreamDialect::responses:
      return judge_responses(*facts, event);
    case StreamDialect::framing:
      return Verdict::content;
  }
  return Verdict::content;
}

StreamRelay::Verdict StreamRelay::judge_choices(const EventFacts& facts, std::string_view data) {
  choices_ |= facts.choices;
  finished_ |= facts.finished;
  begun_ |= facts.content;
  using Step = StreamTranscript::Step;
  std::string replacement;
  const Step step = transcript_ ? transcript_->take(facts, data, replacement) : Step::pass;
  if (!replacement.empty()) replacement_ = &kept_.emplace_front(std::move(replacement));
  if (step == Step::swallow) return Verdict::swallow;
  if (step == Step::diverged) return Verdict::diverged;
  return facts.content ? Verdict::content : Verdict::hold;
}

StreamRelay::Verdict StreamRelay::judge_responses(const EventFacts& facts, const SseEvent& event) {
  const std::string_view name = facts.type.empty() ? event.type : facts.type;
  if (name == "response.completed" || name == "response.incomplete") return Verdict::terminal;
  if (name == "response.failed") {
    const Verdict error = in_band_error(event.data);
    return state_ == StreamState::holding ? error : Verdict::failed_terminal;
  }
  return std::ranges::find(kPreludes, name) != kPreludes.end() ? Verdict::hold : Verdict::content;
}

StreamRelay::Verdict StreamRelay::judge_done() {
  if (transcript_ && !transcript_->caught_up()) return Verdict::diverged;
  switch (dialect_) {
    case StreamDialect::chat:
    case StreamDialect::completions:
      return state_ == StreamState::relaying ? Verdict::terminal : Verdict::early_end;
    case StreamDialect::responses:
      return Verdict::early_end;  // its own terminal event is missing
    case StreamDialect::framing:
      return Verdict::content;
  }
  return Verdict::early_end;
}

StreamRelay::Verdict StreamRelay::in_band_error(std::string_view body) {
  failure_ = std::make_unique<Ending>(std::string(body));
  failure_->outcome = InBandError{failure_->body, {}};
  return Verdict::error;
}

}  // namespace spillway
