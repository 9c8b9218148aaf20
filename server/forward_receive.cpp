#include "server/forward.hpp"

#include <algorithm>

#include "server/metrics.hpp"
#include "server/worker.hpp"

// What a provider's answer turns out to be, and how each kind is received and relayed.
namespace spillway::server {

namespace {

constexpr Duration kErrorBodyTimeout =
    seconds(5);  // an error's status is known; its body may take this long
constexpr Duration kStreamTailTimeout = milliseconds(100);  // for the last chunk behind [DONE]

bool is_json_type(std::string_view content_type) {
  const std::string folded = fold(content_type.substr(0, content_type.find(';')));
  return folded.find("json") != std::string::npos;
}

bool is_html_type(std::string_view content_type) {
  return fold(content_type).find("html") != std::string::npos;
}

bool is_event_stream(std::string_view content_type) {
  return fold(content_type).starts_with("text/event-stream");
}

bool is_success(int status) {
  return status >= 200 && status < 300 && status != 204 && status != 205;
}

bool begins_like_json(std::string_view body) {
  const auto first = body.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && (body[first] == '{' || body[first] == '[');
}

ProtocolViolation not_a_stream() {
  return ProtocolViolation{"a stream was asked for and the answer is not one"};
}

// A deadline that passed while the body was awaited means different things before and after the
// first token.
void name_stream_phase(CallFault& fault, bool content_started) {
  auto* transport = std::get_if<TransportFailure>(&fault.outcome);
  if (!transport || transport->phase != TransportPhase::body) return;
  transport->phase = content_started ? TransportPhase::idle : TransportPhase::await_first_token;
}

}  // namespace

Awaitable<attempt::Event> Forward::receive(UpstreamCall& upstream, const attempt::Call& call) {
  fleet_.told_quotas(call.deployment, read_quotas(upstream.headers(), worker_.wall_now()),
                     worker_.now());
  if (!is_success(upstream.status())) co_return co_await receive_error(upstream, call);
  const auto encoding = find_header(upstream.headers(), "content-encoding");
  if (encoding && !encoding->empty() && fold(*encoding) != "identity") {
    ProtocolViolation compressed;
    compressed.detail = "the answer is compressed although that was not asked for";
    co_return failed(compressed, call);
  }
  report(attempt::HeadArrived());
  const std::string_view type = find_header(upstream.headers(), "content-type").value_or("");
  if (body_->stream && is_event_stream(type)) co_return co_await receive_stream(upstream, call);
  const bool binary =
      traits(endpoint_).answer == AnswerKind::binary && !is_json_type(type) && !is_html_type(type);
  if (binary) co_return co_await receive_binary(upstream, call);
  co_return co_await receive_plain(upstream, call, std::string());
}

Awaitable<attempt::Event> Forward::receive_error(UpstreamCall& upstream,
                                                 const attempt::Call& call) {
  const TimePoint deadline = std::min(call.deadline, worker_.now() + kErrorBodyTimeout);
  std::string body;
  while (!upstream.body_done() && body.size() < bounds::kErrorBodyBytes) {
    const auto fault = co_await upstream.read_body(deadline);
    if (fault) break;  // the status alone says enough
    for (const std::string_view piece : upstream.pieces()) body.append(piece);
  }
  if (body.size() > bounds::kErrorBodyBytes) body.resize(bounds::kErrorBodyBytes);
  HttpAnswer answer;
  answer.status = upstream.status();
  answer.headers = upstream.headers();
  answer.body = body;
  co_return failed(answer, call);
}

// An answer that begins like JSON is held until it has shown whether it is an error.
Awaitable<attempt::Event> Forward::receive_binary(UpstreamCall& upstream,
                                                  const attempt::Call& call) {
  while (!upstream.body_done()) {
    auto fault = co_await upstream.read_body(call.deadline);
    if (fault) co_return failed(fault->outcome, call);
    std::string start;
    for (const std::string_view piece : upstream.pieces()) start.append(piece);
    if (start.empty()) continue;
    if (begins_like_json(start)) co_return co_await receive_plain(upstream, call, std::move(start));
    co_return co_await relay_bytes(upstream, call, std::move(start));
  }
  co_return failed(ProtocolViolation{"the answer is empty"}, call);
}

Awaitable<attempt::Event> Forward::receive_plain(UpstreamCall& upstream, const attempt::Call& call,
                                                 std::string body) {
  while (!upstream.body_done()) {
    auto fault = co_await upstream.read_body(call.deadline);
    if (fault) co_return failed(fault->outcome, call);
    for (const std::string_view piece : upstream.pieces()) body.append(piece);
    if (body.size() <= bounds::kHeldAnswerBytes) continue;
    if (wants_event_stream()) co_return failed(not_a_stream(), call);
    co_return co_await relay_bytes(upstream, call, std::move(body));
  }
  const std::string_view type = find_header(upstream.headers(), "content-type").value_or("");
  auto wrong = judge_plain_answer(endpoint_, type, body);
  if (!wrong && wants_event_stream()) wrong = not_a_stream();
  if (auto* error = wrong ? std::get_if<InBandError>(&*wrong) : nullptr)
    error->headers = upstream.headers();
  if (wrong) co_return failed(*wrong, call);
  usage_ = plain_usage(body);
  status_ = upstream.status();
  waited_ += upstream.waited();
  overhead_ = overhead();
  waited_ -= upstream.waited();
  first_token_at_ = worker_.now();
  ResponseHead head(worker_, status_);
  head.add_common(request_, config_, keep_alive_);
  head.add_lines(routing_headers(Naming::with_deployment));
  head.add_from_provider(upstream.headers()).add("Content-Length", body.size());
  plain_head_ = head.finish();
  plain_body_ = std::move(body);
  attempt::Event completed = attempt::Completed();
  co_return completed;
}

Awaitable<attempt::Event> Forward::receive_stream(UpstreamCall& upstream,
                                                  const attempt::Call& call) {
  if (transcript_) transcript_->begin_leg(resume_);
  relay_.emplace(traits(endpoint_).dialect, transcript_ ? &*transcript_ : nullptr);
  attempt::Event event = co_await relay_stream(upstream, call, *relay_);
  usage_.add(relay_->usage());
  worker_.metrics().count_dropped_events(relay_->dropped_events());
  const bool completed = std::holds_alternative<attempt::Completed>(event);
  if (completed && resume_ != Resume::no) worker_.metrics().count_recovered_stream();
  co_return event;
}

Awaitable<attempt::Event> Forward::relay_stream(UpstreamCall& upstream, const attempt::Call& call,
                                                StreamRelay& relay) {
  attempt::Event completed = attempt::Completed();
  while (relay.open()) {
    const bool content_started = relay.state() == StreamState::relaying;
    const TimePoint deadline =
        content_started ? worker_.now() + config_.timeouts.stream_idle : call.deadline;
    auto fault = co_await upstream.read_body(deadline);
    if (fault) {
      name_stream_phase(*fault, content_started);
      co_return failed(fault->outcome, call);
    }
    for (const std::string_view piece : upstream.pieces()) relay.feed(piece);
    if (relay.open() && upstream.body_done()) relay.finish();
    if (relay.output().empty()) continue;
    begin_content(upstream, true);
    const bool written = co_await writer_.write(relay.output());
    if (!written) end_early(ClientConnection::Ending::client_left);
    if (!written) co_return completed;
    relay.clear_output();
    let_go_of_body();
  }
  if (relay.state() == StreamState::failed) {
    AttemptOutcome outcome = relay.failure();
    if (auto* error = std::get_if<InBandError>(&outcome)) error->headers = upstream.headers();
    attempt::Event event = failed(outcome, call);
    std::get<attempt::Failed>(event).failure.excused = relay.diverged();
    co_return event;
  }
  co_await end_content();
  // The last chunk is the connection's business only: the client has its whole answer.
  if (!upstream.body_done()) co_await upstream.read_body(worker_.now() + kStreamTailTimeout);
  co_return completed;
}

// Binary answers, and plain ones too large to hold: relayed as they come. A cut ends the client's
// connection.
Awaitable<attempt::Event> Forward::relay_bytes(UpstreamCall& upstream, const attempt::Call& call,
                                               std::string held) {
  attempt::Event completed = attempt::Completed();
  std::vector<std::string_view> pieces;
  if (!held.empty()) pieces.push_back(held);
  for (;;) {
    if (!pieces.empty()) {
      begin_content(upstream, false);
      const bool written = co_await writer_.write(pieces);
      if (!written) end_early(ClientConnection::Ending::client_left);
      if (!written) co_return completed;
    }
    if (upstream.body_done()) break;
    const bool content_started = first_token_at_.has_value();
    const TimePoint deadline =
        content_started ? worker_.now() + config_.timeouts.stream_idle : call.deadline;
    auto fault = co_await upstream.read_body(deadline);
    if (fault) co_return failed(fault->outcome, call);
    pieces = upstream.pieces();
  }
  if (!first_token_at_) co_return failed(ProtocolViolation{"the answer is empty"}, call);
  co_await end_content();
  co_return completed;
}

// The answer is out. Whether the client stays or goes from here on says nothing about it.
Awaitable<void> Forward::end_content() {
  release();
  const bool ended = co_await writer_.finish();
  if (ended)
    connection_.stop_watching();
  else
    end_early(ClientConnection::Ending::client_left);
  if (request_.http_1_0) must_close_ = true;
}

}  // namespace spillway::server
