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

bool is_event_stream(std::string_view content_type) {
  return fold(content_type).starts_with("text/event-stream");
}

bool is_success(int status) {
  return status >= 200 && status < 300 && status != 204 && status != 205;
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
  const bool binary = traits(endpoint_).answer == AnswerKind::binary && !is_json_type(type);
  if (binary) co_return co_await relay_bytes(upstream, call, std::string());
  co_return co_await receive_plain(upstream, call);
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

Awaitable<attempt::Event> Forward::receive_plain(UpstreamCall& upstream,
                                                 const attempt::Call& call) {
  std::string body;
  while (!upstream.body_done()) {
    auto fault = co_await upstream.read_body(call.deadline);
    if (fault) co_return failed(fault->outcome, call);
    for (const std::string_view piece : upstream.pieces()) body.append(piece);
    if (body.size() > bounds::kHeldAnswerBytes)
      co_return co_await relay_bytes(upstream, call, std::move(body));
  }
  const std::string_view type = find_header(upstream.headers(), "content-type").value_or("");
  auto wrong = judge_plain_answer(endpoint_, type, body);
  if (!wrong && body_->stream && traits(endpoint_).dialect != StreamDialect::framing) {
    ProtocolViolation not_a_stream;
    not_a_stream.detail = "a stream was asked for and the answer is not one";
    wrong = not_a_stream;
  }
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
  relay_.emplace(traits(endpoint_).dialect);
  StreamRelay& relay = *relay_;
  while (relay.state() == StreamState::holding || relay.state() == StreamState::relaying) {
    const bool content_started = first_token_at_.has_value();
    const TimePoint deadline =
        content_started ? worker_.now() + config_.timeouts.stream_idle : call.deadline;
    auto fault = co_await upstream.read_body(deadline);
    if (fault) {
      name_stream_phase(*fault, content_started);
      co_return failed(fault->outcome, call);
    }
    for (const std::string_view piece : upstream.pieces()) relay.feed(piece);
    const bool open =
        relay.state() == StreamState::holding || relay.state() == StreamState::relaying;
    if (open && upstream.body_done()) relay.finish();
    if (!relay.output().empty()) {
      begin_content(upstream, true);
      const bool written = co_await writer_.write(relay.output());
      if (!written) {
        client_left();
        break;
      }
      relay.clear_output();
    }
  }
  usage_ = relay.usage();
  worker_.metrics().count_dropped_events(relay.dropped_events());
  if (!client_left_ && relay.state() == StreamState::failed) {
    AttemptOutcome outcome = relay.failure();
    if (auto* error = std::get_if<InBandError>(&outcome)) error->headers = upstream.headers();
    co_return failed(outcome, call);
  }
  if (!client_left_) {
    release();
    const bool ended = co_await writer_.finish();
    if (!ended) client_left();
    if (request_.http_1_0) must_close_ = true;
    if (!upstream.body_done()) co_await upstream.read_body(worker_.now() + kStreamTailTimeout);
  }
  attempt::Event completed = attempt::Completed();
  co_return completed;
}

// Binary answers, and plain ones too large to hold: relayed as they come. A cut ends the client's
// connection.
Awaitable<attempt::Event> Forward::relay_bytes(UpstreamCall& upstream, const attempt::Call& call,
                                               std::string held) {
  std::vector<std::string_view> pieces;
  if (!held.empty()) pieces.push_back(held);
  for (;;) {
    if (!pieces.empty()) {
      begin_content(upstream, false);
      const bool written = co_await writer_.write(pieces);
      if (!written) {
        client_left();
        break;
      }
    }
    if (upstream.body_done()) break;
    const bool content_started = first_token_at_.has_value();
    const TimePoint deadline =
        content_started ? worker_.now() + config_.timeouts.stream_idle : call.deadline;
    auto fault = co_await upstream.read_body(deadline);
    if (fault) co_return failed(fault->outcome, call);
    pieces = upstream.pieces();
  }
  if (!first_token_at_) {
    ProtocolViolation empty;
    empty.detail = "the answer is empty";
    co_return failed(empty, call);
  }
  if (!client_left_) {
    release();
    const bool ended = co_await writer_.finish();
    if (!ended) client_left();
    if (request_.http_1_0) must_close_ = true;
  }
  attempt::Event completed = attempt::Completed();
  co_return completed;
}

}  // namespace spillway::server
