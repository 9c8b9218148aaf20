#include "server/session.hpp"

#include <algorithm>
#include <new>

#include "core/ascii.hpp"
#include "core/free_text.hpp"
#include "server/authenticate.hpp"
#include "server/explain_page.hpp"
#include "server/forward.hpp"
#include "server/gateway.hpp"
#include "server/metrics.hpp"
#include "server/percent.hpp"
#include "server/state_json.hpp"
#include "server/worker.hpp"

namespace spillway::server {

namespace {

constexpr Duration kWriteTimeout = seconds(60);  // for answers of the gateway's own

constexpr std::string_view kAllMethods = "GET, HEAD, POST, OPTIONS";

bool sane_id(std::string_view id) {
  constexpr std::string_view kPunctuation = "-_.:/+=@";
  return !id.empty() && id.size() <= bounds::kRequestIdBytes &&
         std::ranges::all_of(id, [&](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                  kPunctuation.find(c) != std::string_view::npos;
         });
}

Answer nothing_there(Audience audience) {
  if (audience == Audience::operators)
    return refusal(404, "", "",
                   "There is nothing at this path. This is the admin listener, which answers "
                   "/metrics, /health and /router/state; models are served elsewhere.");
  return refusal(404, "", "",
                 "There is nothing at this path. Spillway answers OpenAI's API below /v1, such as "
                 "POST /v1/chat/completions.");
}

AnswerPtr boxed(std::optional<Answer> answer) {
  return answer ? std::make_unique<Answer>(std::move(*answer)) : nullptr;
}

// Of a request that did not come whole; the connection cannot be used again.
AnswerPtr refusal_of(const HeadFault& fault) {
  auto refused =
      boxed(fault.status == 503 ? out_of_memory() : refusal(fault.status, "", "", fault.message));
  if (fault.status == 405) refused->allow = kAllMethods;
  refused->close = true;
  return refused;
}

bool allowed_method(const Route& route, std::string_view method) {
  return route.post ? same(method, "POST") : same(method, "GET") || same(method, "HEAD");
}

}  // namespace

Session::Session(Worker& worker, Descriptor socket)
    : worker_(worker), connection_(worker, std::move(socket)), silent_since_(worker.now()) {}

Awaitable<void> Session::run() {
  bool agreed = false;
  if (connection_.encrypted()) {
    agreed = co_await connection_.shake_hands(worker_.snapshot()->config.timeouts.head);
    if (!agreed) co_return;
  }
  // Whoever has just shaken hands may have sent a request with that.
  while (!worker_.draining() || std::exchange(agreed, false)) {
    if (silent_since_ == TimePoint::max()) silent_since_ = worker_.now();
    connection_.expect_request(worker_.snapshot()->config);
    co_await connection_.first_bytes();
    const Next next = co_await serve_next();
    if (next == Next::close || !connection_.is_open()) break;
  }
  co_await connection_.finish();
}

Awaitable<Session::Next> Session::serve_next() {
  SnapshotPtr snapshot = worker_.snapshot();
  ClientRequest request;
  const auto fault = co_await connection_.read_head(snapshot->config, request);
  if (fault) {
    if (fault->answer) co_await refuse(request, snapshot->config, refusal_of(*fault->answer));
    co_return Next::close;
  }
  snapshot = worker_.snapshot();  // the head may have taken long
  const auto before = connection_.bytes_written();
  Next next = Next::close;
  bool starved = false;
  try {
    next = co_await serve(request, snapshot);
  } catch (const std::bad_alloc&) {
    if (connection_.bytes_written() != before) throw;
    starved = true;
  }
  // Memory that cannot be had ends one request: while nothing was answered, by a 503.
  if (starved) co_await refuse_starved(request, snapshot->config);
  worker_.request_memory().take_back(request);
  co_return next;
}

// A request whose head is none.
Awaitable<void> Session::refuse(ClientRequest& request, const Config& config, AnswerPtr refused) {
  request.id = worker_.make_request_id();
  request.keep_alive = false;
  silent_since_ = TimePoint::max();
  co_await answer(request, config, std::move(refused));
}

Awaitable<void> Session::refuse_starved(ClientRequest& request, const Config& config) {
  free_text(request.body);
  request.ready_at = worker_.now();
  auto refused = std::make_unique<Answer>(out_of_memory());
  refused->close = true;
  co_await answer(request, config, std::move(refused));
}

Awaitable<Session::Next> Session::serve(ClientRequest& request, const SnapshotPtr& snapshot) {
  const Config& config = snapshot->config;
  auto id = request.header("x-request-id");
  if (!id) id = request.header("x-litellm-call-id");
  request.id = id && sane_id(*id) ? std::string(*id) : worker_.make_request_id();

  const Route* route = nullptr;
  AnswerPtr refused = boxed(check_head(request, config, route, request.key_name));
  const bool here = request.whole() && request.body.size() <= config.limits.body;
  if (!refused && !here) {
    const auto fault = co_await connection_.read_body(config, request);
    if (fault && !fault->answer) {
      record_unanswered(request, config);
      co_return Next::close;
    }
    if (fault) refused = refusal_of(*fault->answer);
  } else if (refused && request.framing != BodyFraming::none) {
    refused->close = true;  // its body was not read
  }
  request.ready_at = worker_.now();
  silent_since_ = TimePoint::max();
  if (!refused && route->handler != Handler::forward)
    refused = boxed(own_page(*route, request, *snapshot));
  if (refused) co_return co_await answer(request, config, std::move(refused));
  const bool promised = keeps(request);
  Forward forward(worker_, connection_, request, snapshot, *route, promised);
  co_await forward.run();
  AnswerPtr unwritten = forward.take_unwritten();
  if (unwritten) co_return co_await answer(request, config, std::move(unwritten), &forward);
  // Whoever was promised another answer gets it, unless there is no time left.
  const bool keep = promised && !worker_.draining() && !forward.must_close();
  co_return keep&& connection_.is_open() ? Next::keep : Next::close;
}

std::optional<Answer> Session::check_head(const ClientRequest& request, const Config& config,
                                          const Route*& route, std::string& key_name) {
  route = find_route(request.path, worker_.audience());
  if (same(request.method, "OPTIONS") && (route || same(request.path, "*"))) {
    Answer options;  // also CORS preflights, which carry no key
    options.status = 204;
    options.allow = route ? route->allow() : kAllMethods;
    return options;
  }
  const bool wants_key = !route || route->access == Access::wants_key;
  if (wants_key && !config.keys.empty()) {
    const std::string* name = authenticate(config.keys, request);
    if (!name)
      return refusal(401, "invalid_api_key", "",
                     "The gateway wants a key and the request presents none that it knows. Send it "
                     "as 'Authorization: Bearer KEY'.");
    key_name = *name;
  }
  if (!route) return nothing_there(worker_.audience());
  if (!allowed_method(*route, request.method)) {
    Answer wrong = refusal(405, "", "", "This path does not take the method of the request.");
    wrong.allow = route->allow();
    return wrong;
  }
  // One runs in any case: where there is never less in use, nothing else could be done about it.
  Gateway& gateway = worker_.gateway();
  if (route->handler == Handler::forward && gateway.admission().running() > 0 &&
      gateway.memory().pressure() == MemoryPressure::refusing)
    return out_of_memory();
  const auto encoding = request.header("content-encoding");
  if (encoding && !encoding->empty() && !equals_ignoring_case(*encoding, "identity"))
    return refusal(415, "", "content-encoding", "Request bodies must not be compressed.");
  return std::nullopt;
}

Answer Session::own_page(const Route& route, const ClientRequest& request,
                         const Snapshot& snapshot) {
  const Config& config = snapshot.config;
  WorkerFleet fleet(snapshot, worker_.random(), Looking::only);
  Answer page;
  switch (route.handler) {
    case Handler::forward:
      break;
    case Handler::models:
      page.body = models_json(config);
      break;
    case Handler::model: {
      const auto at = request.path.find(kModelPrefix) + kModelPrefix.size();
      const std::string id = percent_decoded(request.path.substr(at));
      auto body = model_json(config, id);
      if (!body)
        return refusal(404, "model_not_found", "model", "The model '" + id + "' is not known.");
      page.body = std::move(*body);
      break;
    }
    case Handler::liveness:
      page.body = "\"I'm alive!\"";
      break;
    case Handler::readiness:
      page.status = worker_.ready() ? 200 : 503;
      page.body = worker_.ready() ? R"({"status":"healthy"})" : R"({"status":"draining"})";
      break;
    case Handler::health:
      page.body = health_json(config, fleet, worker_.now());
      break;
    case Handler::metrics:
      if (!config.metrics) return refusal(404, "", "", "spillway.metrics is off.");
      page.content_type = "text/plain; version=0.0.4; charset=utf-8";
      page.body = worker_.gateway().render_metrics(snapshot, fleet, worker_.now());
      break;
    case Handler::router_state:
      page.body = router_state_json(config, fleet, worker_.now());
      break;
    case Handler::router_explain:
      return explain_page(snapshot, request.query, worker_.random(), worker_.now());
  }
  return page;
}

bool Session::keeps(const ClientRequest& request) const {
  return request.keep_alive && !worker_.leaving() &&
         worker_.gateway().memory().pressure() == MemoryPressure::none;
}

std::string Session::head_of(const ClientRequest& request, const Config& config,
                             const Answer& answer, bool keep) {
  ResponseHead head(worker_, answer.status);
  head.add_common(request, config, keep);
  if (answer.status == 401) head.add("WWW-Authenticate", "Bearer");
  head.add_lines(answer.extra_headers);
  if (!answer.allow.empty()) head.add("Allow", answer.allow);
  if (answer.status == 204 && !config.cors_origins.empty()) {
    head.add("Access-Control-Allow-Methods", answer.allow);
    head.add(
        "Access-Control-Allow-Headers",
        "authorization, content-type, x-request-id, openai-organization, openai-project, "
        "openai-beta, idempotency-key, x-api-key, x-litellm-timeout, x-litellm-stream-timeout, "
        "x-litellm-num-retries, x-litellm-tags, x-litellm-session-id, x-stainless-lang, "
        "x-stainless-package-version, x-stainless-os, x-stainless-arch, x-stainless-runtime, "
        "x-stainless-runtime-version, x-stainless-retry-count, x-stainless-timeout");
    head.add("Access-Control-Max-Age", std::uint64_t{600});
  }
  if (answer.retry_after) {
    const auto whole = std::chrono::ceil<seconds>(*answer.retry_after).count();
    head.add("retry-after", static_cast<std::uint64_t>(std::max<std::int64_t>(whole, 1)));
    const auto exact = std::chrono::ceil<milliseconds>(*answer.retry_after).count();
    if (exact > 0 && exact % 1000 != 0)
      head.add("retry-after-ms", static_cast<std::uint64_t>(exact));
  } else if (answer.should_not_retry) {
    head.add("x-should-retry", "false");
  }
  if (answer.status != 204) {
    head.add("Content-Type", answer.content_type);
    head.add("Content-Length", answer.body.size());
  }
  return head.finish();
}

Awaitable<Session::Next> Session::answer(const ClientRequest& request, const Config& config,
                                         AnswerPtr answer, Forward* forward) {
  const bool keep = keeps(request) && !answer->close;
  const std::string head = head_of(request, config, *answer, keep);
  const bool headless = same(request.method, "HEAD");
  const std::string_view pieces[] = {head, headless ? std::string_view() : answer->body};
  const std::size_t bytes = pieces[0].size() + pieces[1].size();
  if (forward)
    forward->record(*answer, bytes);
  else
    record(request, config, *answer, bytes);
  bool written = false;
  try {
    written = co_await connection_.write(pieces, worker_.now() + kWriteTimeout);
  } catch (const std::bad_alloc&) {  // recorded it is, and so not answered otherwise
  }
  if (!written) co_return Next::close;
  if (keep) co_return Next::keep;
  co_await connection_.linger();
  co_return Next::close;
}

// What the gateway answered by itself; Forward records what it forwards.
void Session::record(const ClientRequest& request, const Config& config, const Answer& answer,
                     std::size_t bytes) {
  if (answer.status >= 400) worker_.metrics().count_rejected(answer.status);
  AccessRecord line = line_of(request);
  line.status = answer.status;
  if (answer.status >= 400) line.error_class = answer.error_class;
  line.detail = answer.detail;
  line.request_bytes = request.body.size();
  line.response_bytes = bytes;
  write_access_log(line, config.access_log, worker_.random());
}

// A request whose body is not whole and never will be: its client has left, or the grace period for
// stopping was over.
void Session::record_unanswered(const ClientRequest& request, const Config& config) {
  if (!cut_) worker_.metrics().count_client_disconnect();
  AccessRecord line = line_of(request);
  line.error_class = cut_ ? ErrorClass::unavailable : ErrorClass::client_closed;
  line.status = cut_ ? default_status(ErrorClass::unavailable) : 499;
  line.detail = "the request's body did not come whole";
  write_access_log(line, config.access_log, worker_.random());
}

AccessRecord Session::line_of(const ClientRequest& request) const {
  AccessRecord line;
  line.at = worker_.wall_now();
  line.request_id = request.id;
  line.key = request.key_name;
  line.client = connection_.peer();
  line.method = request.method;
  line.path = request.path;
  if (request.head_at != TimePoint()) line.total = worker_.now() - request.head_at;
  return line;
}

void Session::close_if_idle() {
  if (connection_.idle() && peek_peer(connection_.socket()) != PeerState::has_data)
    connection_.close_idle();
}

void Session::close_if_kept() {
  if (connection_.kept() && peek_peer(connection_.socket()) != PeerState::has_data)
    connection_.close_idle();
}

void Session::make_room() {
  if (connection_.idle())
    close_if_idle();
  else
    close();
}

void Session::close() {
  cut_ = true;
  connection_.end(ClientConnection::Ending::cut_off);
}

}  // namespace spillway::server
