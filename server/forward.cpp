#include "server/forward.hpp"

#include <utility>

#include "core/splice.hpp"
#include "server/gateway.hpp"
#include "server/metrics.hpp"
#include "server/upstream_head.hpp"
#include "server/worker.hpp"

namespace spillway::server {

namespace {

constexpr Duration kBusyRetry = seconds(1);  // what a refused client is told to wait

StreamWriter::Options writer_options(const Config& config, const ClientRequest& request) {
  StreamWriter::Options options;
  options.framing =
      request.http_1_0 ? StreamWriter::Framing::until_close : StreamWriter::Framing::chunked;
  options.write_timeout = config.timeouts.stream_idle;
  options.keepalive = config.stream_keepalive;
  return options;
}

}  // namespace

Forward::Forward(Worker& worker, ClientConnection& connection, ClientRequest& request,
                 SnapshotPtr snapshot, const Route& route, bool keep_alive)
    : worker_(worker),
      connection_(connection),
      request_(request),
      snapshot_(std::move(snapshot)),
      config_(snapshot_->config),
      endpoint_(route.endpoint),
      keep_alive_(keep_alive),
      fleet_(*snapshot_, worker.random()),
      writer_(worker, connection, writer_options(config_, request)),
      wait_timer_(worker.io()),
      bytes_before_(connection.bytes_written()),
      request_bytes_(request.body.size()) {}

Forward::~Forward() {
  release();
  connection_.stop_watching();
}

// ------------------------------------------------------------------------------------- the request

Awaitable<std::optional<Answer>> Forward::run() {
  auto refused = read_request();
  if (!refused) refused = refuse_before_routing(match_);
  if (!refused) refused = admit();
  if (refused) {
    record(refused->status, refused->error_class);
    co_return refused;
  }
  connection_.watch([this](ClientConnection::Ending why) { end_early(why); });
  if (wants_event_stream())
    writer_.start_comments([this] { return head_before_content(); },
                           [this] { return !relay_ || relay_->at_boundary(); });
  auto answer = co_await run_attempts(*match_);
  writer_.stop_comments();
  connection_.stop_watching();
  co_return answer;
}

std::optional<Answer> Forward::admit() {
  admitted_ = worker_.gateway().admit_request(config_);
  if (admitted_) return std::nullopt;
  Answer busy =
      refusal(503, "over_capacity", "", "The gateway is at its limit of requests at once.");
  busy.retry_after = kBusyRetry;
  return busy;
}

// Before the last write: a client that has its answer may send its next request at once.
void Forward::release() {
  if (std::exchange(admitted_, false)) worker_.gateway().finished_request();
}

Awaitable<std::optional<Answer>> Forward::run_attempts(ModelMatch match) {
  AttemptLoop loop(config_, fleet_, std::move(match), about_, worker_.now());
  loop_ = &loop;
  if (recoverable()) transcript_.emplace();
  attempt::Event event = attempt::Begin();
  std::optional<Answer> unanswered;
  for (;;) {
    attempt::Action action = loop.next(event, worker_.now());
    if (ended_early()) {
      unanswered = co_await say_why_it_ended();
      break;
    }
    if (const auto* next_call = std::get_if<attempt::Call>(&action)) {
      event = co_await call(*next_call);
      if (ended_early()) {  // whatever the call ended in says nothing about its deployment
        unanswered = co_await say_why_it_ended();
        break;
      }
    } else if (const auto* wait = std::get_if<attempt::Wait>(&action)) {
      co_await wait_until(wait->until);
      event = attempt::TimerFired();
    } else if (auto* why = std::get_if<attempt::GiveUp>(&action)) {
      unanswered = co_await give_up(std::move(*why));
      break;
    } else {
      co_await send_plain();
      record(client_left() ? 499 : status_,
             client_left() ? std::optional(ErrorClass::client_closed) : std::nullopt);
      break;
    }
  }
  loop_ = nullptr;
  co_return unanswered;
}

// True if the stream, should it break, could be continued by another deployment.
bool Forward::recoverable() const {
  const ModelGroup& group = config_.at(match_->group);
  const StreamDialect dialect = traits(endpoint_).dialect;
  const bool has_choices = dialect == StreamDialect::chat || dialect == StreamDialect::completions;
  const BodyMember* n = body_->find("n");
  const bool one_choice =
      !n || n->type == JsonType::null ||
      std::string_view(request_.body).substr(n->value_begin, n->value_end - n->value_begin) == "1";
  return config_.stream_recovery && body_->stream && has_choices && one_choice &&
         request_.body.size() <= bounds::kResumableBodyBytes &&
         (group.deployments.size() > 1 || !group.fallbacks.empty());
}

Awaitable<void> Forward::wait_until(TimePoint until) {
  const TimePoint begun = worker_.now();
  wait_timer_.expires_at(until);
  error_code ec;
  co_await wait_timer_.async_wait(to(ec));
  waited_ += worker_.now() - begun;
}

void Forward::end_early(ClientConnection::Ending why) {
  if (!ending_) ending_ = why;
  if (upstream_) upstream_->cancel();
  wait_timer_.cancel();
  if (client_left()) connection_.close();
}

// ------------------------------------------------------------------------------------- an attempt

// Who is being asked now, for as long as it lives.
class Forward::CallInProgress {
 public:
  CallInProgress(Forward& forward, UpstreamCall& upstream, const attempt::Call& call)
      : forward_(forward) {
    forward.worker_.upstream_call_begun();
    forward.upstream_ = &upstream;
    forward.current_ = &call;
    forward.asked_ = call.deployment;
  }
  ~CallInProgress() {
    forward_.worker_.upstream_call_ended();
    forward_.upstream_ = nullptr;
    forward_.current_ = nullptr;
  }
  CallInProgress(const CallInProgress&) = delete;
  CallInProgress& operator=(const CallInProgress&) = delete;

 private:
  Forward& forward_;
};

// An answer that does not tell its usage counts as what was expected of it.
void Forward::note_tokens(const attempt::Call& call, const attempt::Event& event) {
  if (!content_begun_ && !std::holds_alternative<attempt::Completed>(event)) return;
  const TokenUsage& usage = relay_ ? relay_->usage() : usage_;
  const std::uint64_t tokens = usage.known ? usage.prompt + usage.completion : about_.tokens;
  fleet_.used_tokens(call.deployment, tokens, worker_.now());
}

Awaitable<attempt::Event> Forward::call(attempt::Call call) {
  UpstreamCall upstream(worker_, config_, config_.at(call.deployment));
  const CallInProgress in_progress(*this, upstream, call);
  relay_.reset();
  content_begun_ = false;
  call_begun_ = worker_.now();
  attempt::Event event = attempt::StaleConnection();
  auto fault = co_await send(upstream, call);
  if (!fault)
    event = co_await receive(upstream, call);
  else if (!fault->stale)
    event = failed(fault->outcome, call);
  waited_ += upstream.waited();
  upstream.finish();
  note_tokens(call, event);
  if (auto* failed = std::get_if<attempt::Failed>(&event))
    failed->resumable = transcript_ && transcript_->resumable();
  co_return event;
}

Awaitable<std::optional<CallFault>> Forward::send(UpstreamCall& upstream,
                                                  const attempt::Call& call) {
  const Deployment& deployment = config_.at(call.deployment);
  const std::string* text = &request_.body;
  const BodyView* view = &*body_;
  std::optional<std::string> prefixed;
  std::optional<BodyView> prefixed_view;
  resume_ = call.resume;
  if (resume_ == Resume::prefix) {
    prefixed = with_assistant_prefix(request_.body, *body_, transcript_->text());
    if (prefixed) {
      auto seen = view_body(*prefixed, endpoint_, config_.read_keys);
      if (seen) prefixed_view = std::move(*seen);
    }
    if (prefixed_view) {
      text = &*prefixed;
      view = &*prefixed_view;
    } else {
      resume_ = Resume::afresh;
    }
  }
  const SplicedBody body = splice(*text, *view, deployment, call.upstream_model, endpoint_);
  const auto proxy = deployment.origin.tls ? std::optional<ProxyRoute>()
                                           : proxy_for(config_.proxy, deployment.origin);
  const std::string head = upstream_head(deployment, endpoint_, call.upstream_model, request_,
                                         body.size(), proxy ? &*proxy : nullptr);
  co_return co_await upstream.send(head, body.pieces(), call.connection, call.deadline);
}

namespace {

// The deadline that passed was the client's own, not ours to connect or to wait between two events.
bool passed_client_deadline(const AttemptOutcome& outcome, const attempt::Call& call,
                            TimePoint now) {
  const auto* transport = std::get_if<TransportFailure>(&outcome);
  return call.client_deadline && transport != nullptr &&
         transport->cause == TransportCause::timed_out &&
         transport->phase != TransportPhase::idle && now >= call.deadline;
}

}  // namespace

attempt::Event Forward::failed(const AttemptOutcome& outcome, const attempt::Call& call) const {
  const Deployment& deployment = config_.at(call.deployment);
  const UpstreamName upstream{deployment.provider, deployment.id};
  attempt::Failed event;
  event.failure = classify(outcome, upstream, worker_.wall_now());
  event.failure.client_deadline |= passed_client_deadline(outcome, call, worker_.now());
  if (event.failure.hint) worker_.metrics().count_hint(event.failure.hint->source);
  return event;
}

// What the loop is told while a call is running; it has nothing to decide then.
void Forward::report(const attempt::Event& event) {
  if (loop_) loop_->next(event, worker_.now());
}

}  // namespace spillway::server
