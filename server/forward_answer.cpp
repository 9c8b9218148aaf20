#include "server/forward.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/free_text.hpp"
#include "core/head_check.hpp"
#include "server/access_log.hpp"
#include "server/append.hpp"
#include "server/litellm_headers.hpp"
#include "server/log.hpp"
#include "server/metrics.hpp"
#include "server/worker.hpp"

// What the client is sent, and what is remembered of the request.
namespace spillway::server {

namespace {

// Of an answer, the kernel usually takes so much without waiting for the client.
constexpr std::size_t kTakenAtOnce = 64 * 1024;

}  // namespace

// The first commit point: a client has waited so long that comments have to keep its stream open.
std::string Forward::head_before_content() {
  event_stream_ = true;
  report(attempt::HeadSent());
  return stream_head(nullptr, true, writer_.framing());
}

// The second commit point.
void Forward::begin_content(CallLeg& leg, bool event_stream) {
  if (answering_ == &leg) return;
  answering_ = &leg;
  transcript_ = leg.transcript();
  const attempt::ContentStarted started(leg.call().leg);
  report(started);
  // One that still repeats what was sent is compared with it.
  if (transcript_ && transcript_->caught_up() && !loop_->others_left()) transcript_->forsake();
  if (first_token_at_) return leg.upstream().forget_headers();  // it goes on with a stream
  first_token_at_ = worker_.now();
  status_ = leg.upstream().status();
  event_stream_ = event_stream;
  if (!writer_.started()) {
    overhead_ = overhead() - uncounted_wait(leg.begun(), leg.upstream().waited());
    leg.upstream().stop_counting_waits();
    // Events may go on with what somebody else sends.
    const bool sized = !event_stream && leg.upstream().announced_bytes() > 0;
    const auto framing = sized ? StreamWriter::Framing::sized : writer_.framing();
    writer_.begin(stream_head(&leg.upstream(), event_stream, framing), framing);
  }
  leg.upstream().forget_headers();
  let_go_of_body();
  request_.tighten();
  body_->members.shrink_to_fit();
}

// Once nobody else can be asked, a large request must not weigh on a long stream. A leg that lost
// may still be sending it for a moment.
void Forward::let_go_of_body() {
  if (running_ == 0 && (!transcript_ || !transcript_->resumable())) free_text(request_.body);
}

std::string Forward::stream_head(const UpstreamCall* from_provider, bool event_stream,
                                 StreamWriter::Framing framing) {
  ResponseHead head(worker_, status_);
  head.add_common(request_, config_, keep_alive_ && !request_.http_1_0);
  add_routing(head.lines(), from_provider ? Naming::with_deployment : Naming::group_only);
  if (from_provider)
    head.add_from_provider(from_provider->headers());
  else
    head.add("content-type", "text/event-stream; charset=utf-8");
  if (event_stream) head.add("Cache-Control", "no-cache").add("X-Accel-Buffering", "no");
  if (framing == StreamWriter::Framing::sized)
    head.add("Content-Length", from_provider->announced_bytes());
  else if (framing == StreamWriter::Framing::chunked)
    head.add("Transfer-Encoding", "chunked");
  return head.finish();
}

// What was not streamed is still to be sent. False: the client has not got all of it.
Awaitable<bool> Forward::send_plain() {
  if (answering_->answer() != CallLeg::Answer::plain) co_return true;
  writer_.stop_comments();
  release();
  overhead_ = overhead();
  const std::string_view body = answering_->plain();
  ResponseHead head(worker_, status_);
  head.add_common(request_, config_, keep_alive_);
  add_routing(head.lines(), Naming::with_deployment);
  head.add_from_provider(answering_->upstream().headers()).add("Content-Length", body.size());
  const std::string head_text = head.finish();
  const std::string_view pieces[] = {head_text, body};
  const bool large = body.size() > kTakenAtOnce;
  if (large) connection_.end_loudly(true);
  const bool written = co_await connection_.write(
      pieces, worker_.now() + config_.timeouts.stream_idle, ClientConnection::Pieces::passing);
  if (large && written) connection_.end_loudly(false);
  if (!written && !ending_) ending_ = connection_.write_fault();
  co_return written;
}

Awaitable<void> Forward::give_up(const attempt::GiveUp& why) {
  release();
  detail_ = why.failure.detail;
  if (why.committed == CommitPoint::nothing_sent) {
    Answer answer = answer_for(why.failure);
    answer.retry_after = why.retry_after;
    answer.should_not_retry = why.should_not_retry;
    add_routing(answer.extra_headers, Naming::group_only);
    leave_unwritten(std::move(answer));
    co_return;
  }
  co_await end_broken(why.failure);
  record(status_, why.failure.error_class, bytes_sent());
}

// Where the status is out already.
Awaitable<void> Forward::end_broken(const Failure& why) {
  must_close_ = true;
  bool told = answering_ && answering_->terminal_relayed();
  // Within an event it would be taken for a part of that; then a cut has to say enough.
  if (event_stream_ && !told && may_comment()) {
    const std::string text = error_event(traits(endpoint_).dialect, why);
    const std::string_view pieces[] = {text};
    told = writer_.write(pieces);
    if (told && writer_.must_flush()) told = co_await writer_.flush();
  }
  co_await connection_.give_rest(worker_.now() + config_.timeouts.stream_idle);
  if (told) writer_.end();
  connection_.close();
}

Awaitable<void> Forward::say_why_it_ended() {
  abandon_calls(client_left() ? ErrorClass::client_closed : ErrorClass::unavailable);
  if (client_left()) {
    record(499, ErrorClass::client_closed, bytes_sent());
    co_return;
  }
  const attempt::GiveUp why = shutting_down();
  co_await give_up(why);
}

attempt::GiveUp Forward::shutting_down() const {
  attempt::GiveUp why;
  why.failure.error_class = ErrorClass::unavailable;
  why.failure.status = default_status(ErrorClass::unavailable);
  why.failure.type = openai_type(ErrorClass::unavailable);
  why.failure.message =
      "The gateway is shutting down and could not wait for the answer any longer.";
  why.failure.detail = "the grace period for stopping was over";
  why.committed = loop_->committed();
  return why;
}

void Forward::add_routing(std::string& lines, Naming naming) const {
  lines.append(snapshot_->heads.named(match_->group));
  if (naming == Naming::with_deployment)
    lines.append(snapshot_->heads.named(answering_->call().deployment));
  append_header(lines, "x-spillway-attempts", std::uint64_t{loop_->attempts()});
  append_header(lines, "x-spillway-fallbacks", std::uint64_t{loop_->fallbacks()});
  const std::size_t before = lines.size();
  lines.append("x-spillway-attempt-history: ");
  const std::size_t begin = lines.size();
  add_history(lines);
  const std::string_view tried = std::string_view(lines).substr(begin);
  if (tried.empty() || !safe_header_value(tried))
    lines.resize(before);
  else
    lines.append("\r\n");
  if (overhead_) {
    const auto us = std::chrono::duration_cast<std::chrono::microseconds>(*overhead_).count();
    append_header(lines, "x-spillway-overhead-us",
                  static_cast<std::uint64_t>(std::max<std::int64_t>(us, 0)));
  }
  if (config_.litellm_headers) lines += litellm_lines(naming);
}

// "groq-1=rate_limit:12ms, openai-1=success:340ms"; whoever gives the answer has succeeded so far.
// A call that nothing has come of yet is left out.
void Forward::add_history(std::string& text) const {
  bool first = true;
  const auto add = [&](DeploymentIndex deployment, std::string_view outcome, Duration took) {
    const auto ms = std::chrono::duration_cast<milliseconds>(took).count();
    const std::string_view comma = std::exchange(first, false) ? "" : ", ";
    append_all(text, comma, config_.at(deployment).id, "=", outcome, ":");
    append_number(text, static_cast<std::uint64_t>(std::max<std::int64_t>(ms, 0)));
    append_all(text, "ms");
  };
  for (const AttemptRecord& attempt : loop_->records()) {
    const std::string_view outcome = attempt.outrun        ? "outrun"
                                     : attempt.error_class ? name(*attempt.error_class)
                                                           : "success";
    add(attempt.deployment, outcome, attempt.took);
  }
  if (answering_ && !answering_->upstream().finished())
    add(answering_->call().deployment, "success", worker_.now() - answering_->begun());
}

std::string Forward::litellm_lines(Naming naming) const {
  LitellmHeaders about;
  about.call_id = request_.id;
  about.model_group = config_.at(match_->group).name;
  if (naming == Naming::with_deployment)
    about.deployment = &config_.at(answering_->call().deployment);
  about.endpoint = endpoint_;
  about.attempts = loop_->attempts();
  about.fallbacks = loop_->fallbacks();
  about.response_duration = worker_.now() - request_.ready_at;
  about.overhead = overhead_;
  return litellm_headers(about);
}

Duration Forward::overhead() const {
  return worker_.now_anew() - request_.ready_at - waited_;
}

void Forward::record(const Answer& unwritten, std::size_t bytes) {
  if (detail_.empty()) detail_ = unwritten.detail;
  record(unwritten.status, unwritten.error_class, bytes);
}

void Forward::record(int status, std::optional<ErrorClass> error_class, std::uint64_t bytes) {
  const TimePoint now = worker_.now();
  AccessRecord line;
  line.at = worker_.wall_now();
  line.request_id = request_.id;
  line.key = request_.key_name;
  line.client = connection_.peer();
  line.method = request_.method;
  line.path = request_.path;
  if (body_) line.model = body_->model;
  if (body_) line.stream = body_->stream;
  line.status = status;
  line.error_class = error_class;
  line.total = now - request_.head_at;
  line.overhead = overhead_.value_or(overhead());
  if (first_token_at_ && line.stream)
    line.time_to_first_token = *first_token_at_ - request_.ready_at;
  if (usage_.known) line.prompt_tokens = usage_.prompt;
  if (usage_.known) line.completion_tokens = usage_.completion;
  line.request_bytes = request_bytes_;
  line.response_bytes = bytes;
  line.detail = detail_;
  if (ending_ == ClientConnection::Ending::client_stalled)
    line.detail = "the client did not take its answer in time";
  if (loop_) record_attempts(line);
  write_access_log(line, config_.access_log, worker_.random());

  if (!match_) return worker_.metrics().count_rejected(status);
  RequestSample sample;
  sample.group = match_->group;
  sample.status = status;
  sample.error_class = error_class;
  sample.total = line.total;
  sample.overhead = line.overhead;
  sample.time_to_first_token = line.time_to_first_token;
  sample.prompt_tokens = usage_.prompt;
  sample.completion_tokens = usage_.completion;
  worker_.metrics().count_request(config_, sample);
  if (error_class == ErrorClass::client_closed) worker_.metrics().count_client_disconnect();
}

void Forward::record_attempts(AccessRecord& line) {
  if (loop_->attempts() > 0 && debug_log_wanted()) {
    std::string tried;
    add_history(tried);
    log_debug(fmt::format("{} {}: {}", request_.id, log_value(line.model), tried));
  }
  line.attempts = loop_->attempts();
  line.fallbacks = loop_->fallbacks();
  line.group = config_.at(loop_->group()).name;
  for (const AttemptRecord& attempt : loop_->records())
    if (attempt.change == HealthChange::cooled_down) ++line.cooldowns;
  if (asked_) {
    const Deployment& deployment = config_.at(*asked_);
    line.deployment = deployment.id;
    line.provider = deployment.provider;
  }
  worker_.metrics().count_attempts(config_, loop_->records());
}

}  // namespace spillway::server
