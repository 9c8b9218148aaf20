#include "server/call_leg.hpp"

#include <algorithm>
#include <boost/container/small_vector.hpp>
#include <utility>

#include "core/ascii.hpp"
#include "core/redaction.hpp"
#include "core/splice.hpp"
#include "server/gateway.hpp"
#include "server/gather_write.hpp"
#include "server/metrics.hpp"
#include "server/upstream_head.hpp"
#include "server/worker.hpp"

namespace spillway::server {

namespace {

constexpr Duration kErrorBodyTimeout =
    seconds(5);  // an error's status is known; its body may take this long

constexpr std::uint64_t kFirstHeldBytes = 64 * 1024;  // of a plain answer, on its word

constexpr std::string_view kAccountHeaders[] = {"openai-organization", "openai-project"};

bool is_json_type(std::string_view content_type) {
  return contains_ignoring_case(content_type.substr(0, content_type.find(';')), "json");
}

bool is_html_type(std::string_view content_type) {
  return contains_ignoring_case(content_type, "html");
}

bool is_event_stream(std::string_view content_type) {
  return starts_with_ignoring_case(content_type, "text/event-stream");
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

// The deadline that passed was the client's own, not ours to connect or to wait between two events.
bool passed_client_deadline(const AttemptOutcome& outcome, const attempt::Call& call,
                            TimePoint now) {
  const auto* transport = std::get_if<TransportFailure>(&outcome);
  return call.client_deadline && transport != nullptr &&
         transport->cause == TransportCause::timed_out &&
         transport->phase != TransportPhase::idle && now >= call.deadline;
}

}  // namespace

CallLeg::CallLeg(const Request& request, attempt::Call call,
                 std::shared_ptr<StreamTranscript> transcript)
    : request_(request),
      call_(std::move(call)),
      transcript_(std::move(transcript)),
      upstream_(request.worker, request.config, request.config.at(call_.deployment), *this),
      begun_(request.worker.now()),
      resume_(call_.resume),
      deadline_(call_.deadline) {}

void CallLeg::take_home() {
  // In this order: what the relay views may lie where the rest of it is kept.
  if (relay_) relay_->keep_output();
  if (!plain_.empty() && plain_.data() != held_.data()) plain_ = held_ = plain_;
  upstream_.keep_received();
}

Awaitable<void> CallLeg::run(AttemptLoop& loop) {
  auto fault = co_await send();
  if (!fault) fault = co_await upstream_.read_head(call_.deadline);
  if (!fault)
    begin_answer(loop);
  else if (fault->stale)
    ending_ = std::make_unique<attempt::Event>(attempt::StaleConnection{call_.leg});
  else
    fail(fault->outcome);
  while (!ending_ && !settled_) {
    if (!upstream_.next_pieces(fault)) fault = co_await upstream_.read_body(reading_deadline());
    take_pieces(fault);
  }
  ready_ = true;
}

Awaitable<CallFaultPtr> CallLeg::send() {
  const Deployment& deployment = request_.config.at(call_.deployment);
  const std::string* text = &request_.client.body;
  const BodyView* view = &request_.body;
  std::optional<std::string> prefixed;
  std::optional<BodyView> prefixed_view;
  if (resume_ == Resume::prefix) {
    prefixed = with_assistant_prefix(*text, *view, transcript_->text());
    if (prefixed) {
      auto seen = view_body(*prefixed, request_.endpoint, request_.config.read_keys);
      if (seen) prefixed_view = std::move(*seen);
    }
    if (prefixed_view) {
      text = &*prefixed;
      view = &*prefixed_view;
    } else {
      resume_ = Resume::afresh;
    }
  }
  const SplicedBody body =
      splice(*text, *view, deployment, call_.upstream_model, request_.endpoint);
  const auto proxy = deployment.origin.tls ? std::optional<ProxyRoute>()
                                           : proxy_for(request_.config.proxy, deployment.origin);
  const std::string head =
      upstream_head(request_.heads, request_.config, call_.deployment, request_.endpoint,
                    call_.upstream_model, request_.client, body.size(), proxy ? &*proxy : nullptr);
  boost::container::small_vector<std::string_view, 8> pieces(1, head);
  pieces.insert(pieces.end(), body.pieces().begin(), body.pieces().end());
  Buffers buffers = as_buffers(pieces);
  if (upstream_.send_at_once(buffers, call_.connection)) co_return nullptr;
  co_return co_await upstream_.send_rest(std::move(buffers), call_.deadline);
}

attempt::Event CallLeg::outcome() const {
  return ending_ ? *ending_ : attempt::Event(attempt::Completed{call_.leg});
}

void CallLeg::fail(const AttemptOutcome& outcome) {
  ending_ = std::make_unique<attempt::Event>(failed(outcome));
}

attempt::Failed CallLeg::failed(const AttemptOutcome& outcome) const {
  const Deployment& deployment = request_.config.at(call_.deployment);
  const UpstreamName upstream{deployment.provider, deployment.id};
  attempt::Failed event;
  event.leg = call_.leg;
  event.failure = classify(outcome, upstream, request_.worker.wall_now());
  redact(event.failure, deployment);
  event.failure.client_deadline |= passed_client_deadline(outcome, call_, request_.worker.now());
  event.failure.excused |= event.failure.about_account && client_names_account(deployment);
  if (event.failure.hint) request_.worker.metrics().count_hint(event.failure.hint->source);
  return event;
}

// Then the provider compares what the client claims with the gateway's key, and its refusal must
// not bench a deployment for everybody else.
bool CallLeg::client_names_account(const Deployment& deployment) const {
  return std::ranges::any_of(kAccountHeaders, [&](std::string_view name) {
    const bool ours = std::ranges::find(deployment.headers, name, &UpstreamHeader::name) !=
                      deployment.headers.end();
    return !ours && find_header(request_.client.headers, name).has_value();
  });
}

// ------------------------------------------------------------- what the answer turns out to be

void CallLeg::begin_answer(AttemptLoop& loop) {
  Worker& worker = request_.worker;
  const TimePoint now = worker.now();
  request_.fleet.told_quotas(call_.deployment, read_quotas(upstream_.headers(), worker.wall_now()),
                             now);
  if (!is_success(upstream_.status())) {
    reading_ = Reading::error;
    deadline_ = std::min(call_.deadline, now + kErrorBodyTimeout);
    return;
  }
  const auto encoding = find_header(upstream_.headers(), "content-encoding");
  if (encoding && !encoding->empty() && !equals_ignoring_case(*encoding, "identity")) {
    fail(ProtocolViolation{"the answer is compressed although that was not asked for"});
    return;
  }
  loop.next(attempt::HeadArrived(call_.leg), now);
  const std::string_view type = find_header(upstream_.headers(), "content-type").value_or("");
  if (request_.body.stream && is_event_stream(type)) {
    reading_ = Reading::first_content;
    answer_ = Answer::stream;
    if (transcript_) transcript_->begin_leg(resume_);
    relay_.emplace(traits(request_.endpoint).dialect, transcript_.get());
  } else if (traits(request_.endpoint).answer == AnswerKind::binary && !is_json_type(type) &&
             !is_html_type(type)) {
    reading_ = Reading::first_bytes;
  }
}

TimePoint CallLeg::reading_deadline() const {
  // A leg that repeats what was sent shows nothing of it, but has begun as well.
  return relay_ && relay_->begun() ? request_.worker.now() + request_.config.timeouts.stream_idle
                                   : deadline_;
}

void CallLeg::take_pieces(CallFaultPtr& fault) {
  if (reading_ == Reading::error) return take_error(fault != nullptr);
  if (reading_ == Reading::first_content) return take_first_content(fault);
  if (fault)
    fail(fault->outcome);
  else if (reading_ == Reading::first_bytes)
    take_first_bytes();
  else
    take_plain();
}

void CallLeg::hold_pieces() {
  if (held_.empty())
    held_.reserve(std::min<std::uint64_t>(upstream_.announced_bytes(), kFirstHeldBytes));
  for (const std::string_view piece : upstream_.pieces()) held_.append(piece);
}

// That it was cut matters little: the status alone says enough.
void CallLeg::take_error(bool cut) {
  if (!cut) hold_pieces();
  if (!cut && !upstream_.body_done() && held_.size() < bounds::kErrorBodyBytes) return;
  if (held_.size() > bounds::kErrorBodyBytes) held_.resize(bounds::kErrorBodyBytes);
  HttpAnswer answer;
  answer.status = upstream_.status();
  answer.headers = upstream_.headers();
  answer.body = held_;
  fail(answer);
}

// An answer that begins like JSON is held until it has shown whether it is an error.
void CallLeg::take_first_bytes() {
  hold_pieces();
  if (held_.empty()) {
    if (upstream_.body_done()) fail(ProtocolViolation{"the answer is empty"});
    return;
  }
  if (begins_like_json(held_)) {
    reading_ = Reading::plain;
    if (upstream_.body_done()) judge_plain();
    return;
  }
  answer_ = Answer::bytes;
  settled_ = true;
}

void CallLeg::take_plain() {
  const auto& pieces = upstream_.pieces();
  if (upstream_.body_done() && held_.empty() && pieces.size() == 1) {
    plain_ = pieces.front();  // usually; it stays where it was read
    return judge_plain();
  }
  hold_pieces();
  const bool short_of_memory =
      request_.worker.gateway().memory().pressure() == MemoryPressure::refusing;
  if (held_.size() > (short_of_memory ? bounds::kHeldWhenShortBytes : bounds::kHeldAnswerBytes)) {
    if (request_.wants_event_stream()) fail(not_a_stream());
    answer_ = Answer::bytes;
    settled_ = true;
  } else if (upstream_.body_done()) {
    judge_plain();
  }
}

void CallLeg::judge_plain() {
  if (!held_.empty()) plain_ = held_;
  const std::string_view type = find_header(upstream_.headers(), "content-type").value_or("");
  PlainAnswer judged = judge_plain_answer(request_.endpoint, type, plain_);
  plain_usage_ = judged.usage;
  std::optional<AttemptOutcome>& wrong = judged.fault;
  if (!wrong && request_.wants_event_stream()) wrong = not_a_stream();
  if (auto* error = wrong ? std::get_if<InBandError>(&*wrong) : nullptr)
    error->headers = upstream_.headers();
  if (wrong) fail(*wrong);
  settled_ = true;
}

void CallLeg::take_first_content(CallFaultPtr& fault) {
  if (!take_stream(fault) || (relay_->open() && relay_->output().empty())) return;
  if (relay_->output().empty() && relay_->state() == StreamState::failed) fail_stream();
  settled_ = true;
}

// ------------------------------------------------------------------------------------- a stream

bool CallLeg::take_stream(CallFaultPtr& fault) {
  if (fault) {
    name_stream_phase(*fault, relay_->begun());
    fail(fault->outcome);
    return false;
  }
  for (const std::string_view piece : upstream_.pieces()) relay_->feed(piece);
  if (relay_->open() && upstream_.body_done()) relay_->finish();
  return true;
}

void CallLeg::fail_stream() {
  AttemptOutcome outcome = relay_->failure();
  if (auto* error = std::get_if<InBandError>(&outcome)) error->headers = upstream_.headers();
  attempt::Failed event = failed(outcome);
  event.failure.excused |= relay_->diverged();
  event.begun_anew = relay_->diverged() && resume_ == Resume::prefix && !transcript_->caught_up();
  ending_ = std::make_unique<attempt::Event>(std::move(event));
}

}  // namespace spillway::server
