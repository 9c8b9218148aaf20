#include "server/call_leg.hpp"

#include <algorithm>
#include <utility>

#include "core/ascii.hpp"
#include "core/splice.hpp"
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
      resume_(call_.resume) {
  request_.worker.upstream_call_begun();
}

CallLeg::~CallLeg() {
  if (!finished_) request_.worker.upstream_call_ended();
}

void CallLeg::take_home() {
  // In this order: what the relay views may lie where the rest of it is kept.
  if (relay_) relay_->keep_output();
  upstream_.keep_received();
}

void CallLeg::finish() {
  if (std::exchange(finished_, true)) return;
  upstream_.finish();
  request_.worker.upstream_call_ended();
}

Awaitable<void> CallLeg::run(AttemptLoop& loop) {
  const auto fault = co_await send();
  if (!fault) {
    ending_ = co_await receive(loop);
  } else if (fault->stale) {
    ending_ = attempt::StaleConnection{call_.leg};
  } else {
    ending_ = failed(fault->outcome);
  }
  ready_ = true;
}

Awaitable<std::optional<CallFault>> CallLeg::send() {
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
  co_return co_await upstream_.send(head, body.pieces(), call_.connection, call_.deadline);
}

attempt::Event CallLeg::failed(const AttemptOutcome& outcome) const {
  const Deployment& deployment = request_.config.at(call_.deployment);
  const UpstreamName upstream{deployment.provider, deployment.id};
  attempt::Failed event;
  event.leg = call_.leg;
  event.failure = classify(outcome, upstream, request_.worker.wall_now());
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

Awaitable<CallLeg::Ending> CallLeg::receive(AttemptLoop& loop) {
  Worker& worker = request_.worker;
  request_.fleet.told_quotas(call_.deployment, read_quotas(upstream_.headers(), worker.wall_now()),
                             worker.now());
  if (!is_success(upstream_.status())) co_return co_await receive_error();
  const auto encoding = find_header(upstream_.headers(), "content-encoding");
  if (encoding && !encoding->empty() && !equals_ignoring_case(*encoding, "identity")) {
    ProtocolViolation compressed;
    compressed.detail = "the answer is compressed although that was not asked for";
    co_return failed(compressed);
  }
  const attempt::HeadArrived arrived(call_.leg);
  loop.next(arrived, worker.now());
  const std::string_view type = find_header(upstream_.headers(), "content-type").value_or("");
  if (request_.body.stream && is_event_stream(type)) co_return co_await await_content();
  const bool binary = traits(request_.endpoint).answer == AnswerKind::binary &&
                      !is_json_type(type) && !is_html_type(type);
  if (binary) co_return co_await await_bytes();
  co_return co_await hold_plain();
}

Awaitable<CallLeg::Ending> CallLeg::receive_error() {
  const TimePoint deadline = std::min(call_.deadline, request_.worker.now() + kErrorBodyTimeout);
  while (!upstream_.body_done() && held_.size() < bounds::kErrorBodyBytes) {
    const auto fault = co_await upstream_.read_body(deadline);
    if (fault) break;  // the status alone says enough
    for (const std::string_view piece : upstream_.pieces()) held_.append(piece);
  }
  if (held_.size() > bounds::kErrorBodyBytes) held_.resize(bounds::kErrorBodyBytes);
  HttpAnswer answer;
  answer.status = upstream_.status();
  answer.headers = upstream_.headers();
  answer.body = held_;
  co_return failed(answer);
}

// An answer that begins like JSON is held until it has shown whether it is an error.
Awaitable<CallLeg::Ending> CallLeg::await_bytes() {
  while (!upstream_.body_done()) {
    const auto fault = co_await upstream_.read_body(call_.deadline);
    if (fault) co_return failed(fault->outcome);
    for (const std::string_view piece : upstream_.pieces()) held_.append(piece);
    if (held_.empty()) continue;
    if (begins_like_json(held_)) co_return co_await hold_plain();
    answer_ = Answer::bytes;
    co_return std::nullopt;
  }
  co_return failed(ProtocolViolation{"the answer is empty"});
}

Awaitable<CallLeg::Ending> CallLeg::hold_plain() {
  held_.reserve(std::min<std::uint64_t>(upstream_.announced_bytes(), kFirstHeldBytes));
  while (!upstream_.body_done()) {
    const auto fault = co_await upstream_.read_body(call_.deadline);
    if (fault) co_return failed(fault->outcome);
    for (const std::string_view piece : upstream_.pieces()) held_.append(piece);
    if (held_.size() <= bounds::kHeldAnswerBytes) continue;
    if (request_.wants_event_stream()) co_return failed(not_a_stream());
    answer_ = Answer::bytes;
    co_return std::nullopt;
  }
  const std::string_view type = find_header(upstream_.headers(), "content-type").value_or("");
  PlainAnswer judged = judge_plain_answer(request_.endpoint, type, held_);
  plain_usage_ = judged.usage;
  std::optional<AttemptOutcome>& wrong = judged.fault;
  if (!wrong && request_.wants_event_stream()) wrong = not_a_stream();
  if (auto* error = wrong ? std::get_if<InBandError>(&*wrong) : nullptr)
    error->headers = upstream_.headers();
  if (wrong) co_return failed(*wrong);
  co_return std::nullopt;
}

Awaitable<CallLeg::Ending> CallLeg::await_content() {
  answer_ = Answer::stream;
  if (transcript_) transcript_->begin_leg(resume_);
  relay_.emplace(traits(request_.endpoint).dialect, transcript_.get());
  while (relay_->open() && relay_->output().empty()) {
    auto fault = co_await read_stream();
    if (fault) co_return fault;
  }
  if (relay_->output().empty() && relay_->state() == StreamState::failed)
    co_return stream_failure();
  co_return std::nullopt;
}

// ------------------------------------------------------------------------------------- a stream

Awaitable<CallLeg::Ending> CallLeg::read_stream() {
  // A leg that repeats what was sent shows nothing of it, but has begun as well.
  const bool content_started = relay_->begun();
  const TimePoint deadline = content_started
                                 ? request_.worker.now() + request_.config.timeouts.stream_idle
                                 : call_.deadline;
  auto fault = co_await upstream_.read_body(deadline);
  if (fault) {
    name_stream_phase(*fault, content_started);
    co_return failed(fault->outcome);
  }
  for (const std::string_view piece : upstream_.pieces()) relay_->feed(piece);
  if (relay_->open() && upstream_.body_done()) relay_->finish();
  co_return std::nullopt;
}

attempt::Event CallLeg::stream_failure() const {
  AttemptOutcome outcome = relay_->failure();
  if (auto* error = std::get_if<InBandError>(&outcome)) error->headers = upstream_.headers();
  attempt::Event event = failed(outcome);
  auto& told = std::get<attempt::Failed>(event);
  told.failure.excused |= relay_->diverged();
  told.begun_anew = relay_->diverged() && resume_ == Resume::prefix && !transcript_->caught_up();
  return event;
}

}  // namespace spillway::server
