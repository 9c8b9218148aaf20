// The judgement of whole answers, and the event that ends a stream that failed.
#include "core/stream_relay.hpp"

namespace spillway {

namespace {

std::optional<AttemptOutcome> violation(std::string detail) {
  return ProtocolViolation{std::move(detail)};
}

char first_byte(std::string_view body) {
  const std::size_t begin = body.find_first_not_of(" \t\r\n");
  return begin == std::string_view::npos ? '\0' : body[begin];
}

bool is_html(std::string_view content_type, std::string_view body) {
  return first_byte(body) == '<' || content_type.find("html") != std::string_view::npos;
}

std::optional<AttemptOutcome> judge_json(Endpoint endpoint, std::string_view content_type,
                                         std::string_view body,
                                         const std::optional<EventFacts>& facts) {
  if (!facts) {
    if (is_html(content_type, body)) return violation("the answer is an HTML page");
    return violation("the answer is not JSON");
  }
  if (facts->error || facts->bare_error) return InBandError{body, {}};
  if (!facts->object) return violation("the answer is not a JSON object");
  const bool chat = endpoint == Endpoint::chat_completions || endpoint == Endpoint::completions;
  if (chat && !facts->has_choices) return violation("the answer has no choices");
  return std::nullopt;
}

std::optional<AttemptOutcome> judge_binary(std::string_view content_type, std::string_view body,
                                           const std::optional<EventFacts>& facts) {
  if (facts && (facts->error || facts->bare_error)) return InBandError{body, {}};
  if (facts) return violation("the answer is JSON instead of binary data");
  if (content_type.find("html") != std::string_view::npos) {
    return violation("the answer is an HTML page");
  }
  return std::nullopt;
}

}  // namespace

PlainAnswer judge_plain_answer(Endpoint endpoint, std::string_view content_type,
                               std::string_view body) {
  if (body.empty()) return {violation("the answer is empty"), {}};
  const bool json = traits(endpoint).answer == AnswerKind::json;
  const char first = first_byte(body);
  const std::optional<EventFacts> facts =
      json || first == '{' || first == '[' ? read_event(body) : std::nullopt;
  return {json ? judge_json(endpoint, content_type, body, facts)
               : judge_binary(content_type, body, facts),
          facts ? facts->usage : TokenUsage{}};
}

std::string error_event(StreamDialect dialect, const Failure& failure) {
  std::string event = dialect == StreamDialect::responses ? "event: error\n" : "";
  event.append("data: ").append(error_body(failure)).append("\n\n");
  return event;
}

}  // namespace spillway
