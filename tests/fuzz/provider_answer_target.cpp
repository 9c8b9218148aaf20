// From a provider's head to the one that goes to a client: whatever gets past the head check, the
// result is one well-formed head with fields of the allow-list only, and a plain answer is judged.
//
// The input is a provider's head and body.
#include <set>

#include "core/head_check.hpp"
#include "core/stream_relay.hpp"
#include "head_grammar.hpp"
#include "server/answer.hpp"
#include "server/litellm_headers.hpp"
#include "server/worker.hpp"

namespace spillway {
namespace {

using fuzz::expect;

// Heads ask it for the date only, which http_date.cpp answers without looking at it.
alignas(server::Worker) char worker_storage[sizeof(server::Worker)];

bool allowed(const std::string& name) {
  static const std::set<std::string> names = {"date",
                                              "x-request-id",
                                              "content-type",
                                              "retry-after",
                                              "retry-after-ms",
                                              "x-spillway-upstream-request-id",
                                              "x-litellm-call-id",
                                              "x-litellm-model-group",
                                              "content-length",
                                              "connection"};
  return names.contains(name) || name.starts_with("x-ratelimit-") || name.starts_with("openai-") ||
         name.starts_with("anthropic-");
}

void check_head(Headers headers, int status, std::string_view anything) {
  server::ClientRequest request;
  request.id = anything;
  auto& worker = *reinterpret_cast<server::Worker*>(worker_storage);
  server::LitellmHeaders about;
  about.call_id = anything;
  about.model_group = anything;
  server::ResponseHead head(worker, status);
  head.add_common(request, Config{}, false)
      .add_from_provider(headers)
      .add_lines(server::litellm_headers(about))
      .add("Content-Length", std::uint64_t{7});
  const std::string text = head.finish();
  for (const std::string& name : fuzz::field_names(text))
    expect(allowed(name), "only what the allow-list names");
  expect(!check_response_head(text), "a head as we would accept it");
}

void check_answer(std::string_view content_type, std::string_view body) {
  for (const Endpoint endpoint : {Endpoint::chat_completions, Endpoint::audio_speech}) {
    const PlainAnswer judged = judge_plain_answer(endpoint, content_type, body);
    expect(judged.usage.known || (judged.usage.prompt == 0 && judged.usage.completion == 0),
           "no usage out of nothing");
    const auto& outcome = judged.fault;
    if (!outcome) {
      if (endpoint == Endpoint::chat_completions) expect(is_json(body), "an answer is JSON");
      continue;
    }
    const Failure failure = classify(*outcome, {"p", "d"}, WallTime(seconds(1767323045)));
    expect(failure.status >= 400 && failure.status < 600, "a failure is no success");
    const std::string shown = error_body(failure);
    expect(is_json(shown), "an error body is JSON");
    expect(error_event(StreamDialect::chat, failure) == "data: " + shown + "\n\n", "on one line");
    expect(shown.find('\n') == std::string::npos && shown.find('\r') == std::string::npos,
           "on one line");
  }
}

}  // namespace
}  // namespace spillway

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace spillway;
  const std::string_view text = fuzz::as_text(data, size);
  const std::size_t end = text.find("\r\n\r\n");
  if (end == std::string_view::npos) return 0;
  const std::string_view head = text.substr(0, end + 4);
  std::vector<HeaderView> fields;
  const auto read = read_response_head(head, fields);
  if (!read) return 0;
  check_head(fields, read->status, text.substr(end));
  check_answer(find_header(fields, "content-type").value_or(""), text.substr(end + 4));
  return 0;
}
