#include "server/upstream_call.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/head_check.hpp"
#include "server/gather_write.hpp"
#include "server/worker.hpp"

namespace spillway::server {

namespace {

constexpr std::string_view kStatusLineStart = "HTTP/1.";
constexpr std::size_t kUsualFields = 16;

CallFault violation(std::string what) {
  CallFault fault{ProtocolViolation{std::move(what)}, false};
  return fault;
}

}  // namespace

Awaitable<std::optional<CallFault>> UpstreamCall::send(std::string_view head,
                                                       std::span<const std::string_view> body,
                                                       attempt::Call::Connection connection,
                                                       TimePoint deadline) {
  std::optional<CallFault> fault;
  if (!take_pooled(connection)) fault = co_await open_connection(deadline);
  if (fault) co_return fault;
  boost::container::small_vector<std::string_view, 8> pieces(1, head);
  pieces.insert(pieces.end(), body.begin(), body.end());
  Buffers buffers = as_buffers(pieces);
  error_code write_error;
  if (!connection_->write_at_once(buffers, write_error)) {
    const TimePoint begun = worker_.now();
    co_await connection_->write(std::move(buffers), deadline, write_error);
    waited_ += worker_.now() - begun;
  }
  if (write_error == asio::error::timed_out) co_return transport(TransportPhase::send, write_error);
  // A provider may refuse a request before it has read all of it: its answer says more than the
  // failed write.
  fault = co_await read_head(deadline);
  const bool sent_in_vain = fault && write_error && !any_byte_ && !fault->stale;
  if (sent_in_vain) co_return transport(TransportPhase::send, write_error);
  co_return fault;
}

bool UpstreamCall::take_pooled(attempt::Call::Connection wanted) {
  if (wanted == attempt::Call::Connection::pooled)
    connection_ = worker_.pool().take(deployment_.origin, worker_.now());
  worker_.count_connection(connection_ != nullptr);
  if (connection_ && cancelled_) connection_->close();
  return connection_ != nullptr;
}

Awaitable<std::optional<CallFault>> UpstreamCall::open_connection(TimePoint deadline) {
  const TimePoint begun = worker_.now();
  connection_ = std::make_unique<UpstreamConnection>(worker_, deployment_.origin);
  if (cancelled_) connection_->close();
  const TimePoint connect_by = std::min(deadline, begun + config_.timeouts.connect);
  auto proxy = proxy_for(config_.proxy, deployment_.origin);
  const auto problem = co_await connection_->connect(std::move(proxy), connect_by);
  waited_ += worker_.now() - begun;
  if (!problem) co_return std::nullopt;
  if (problem->cause == TransportCause::exhausted) worker_.pool().clear();  // for the next one
  CallFault fault{*problem, false};
  co_return fault;
}

CallFault UpstreamCall::transport(TransportPhase phase, const error_code& ec) const {
  TransportFailure failure;
  failure.phase = phase;
  failure.cause = ec == asio::error::timed_out ? TransportCause::timed_out : TransportCause::failed;
  failure.detail = ec == asio::error::timed_out ? "deadline passed" : ec.message();
  const bool stale =
      connection_->reused && !any_byte_ && !cancelled_ && failure.cause == TransportCause::failed;
  CallFault fault{std::move(failure), stale};
  return fault;
}

void UpstreamCall::keep_received() {
  if (received_.empty() || received_.data() == kept_.data()) return;
  received_ = kept_ = received_;
}

// More behind what has been received and not parsed.
Awaitable<void> UpstreamCall::read_more(TimePoint deadline, error_code& ec) {
  keep_received();
  const bool alone = received_.empty();
  const TimePoint begun = worker_.now();
  const std::string_view arrived = co_await connection_->receive(reader_, deadline, ec);
  waited_ += worker_.now() - begun;
  if (!arrived.empty()) any_byte_ = true;
  received_ = alone ? arrived : kept_.append(arrived);
}

Awaitable<std::optional<CallFault>> UpstreamCall::read_head(TimePoint deadline) {
  std::size_t interim = 0;
  std::size_t searched = 0;
  for (;;) {
    const std::size_t compared = std::min(received_.size(), kStatusLineStart.size());
    if (received_.substr(0, compared) != kStatusLineStart.substr(0, compared))
      co_return violation("the answer is not HTTP/1.x");
    const std::size_t end = received_.find("\r\n\r\n", searched < 3 ? 0 : searched - 3);
    if (end != std::string_view::npos) {
      if (end + 4 > bounds::kUpstreamHeadBytes)
        co_return violation("the response head is too large");
      auto fault = parse_head(end + 4);
      if (fault) co_return fault;
      if (status() >= 200) co_return std::nullopt;
      if (status() == 101) co_return violation("101 Switching Protocols was not asked for");
      if (++interim > bounds::kInterimResponses) co_return violation("too many 1xx answers");
      searched = 0;
      continue;
    }
    searched = received_.size();
    if (received_.size() >= bounds::kUpstreamHeadBytes)
      co_return violation("the response head is too large");
    error_code ec;
    co_await read_more(deadline, ec);
    if (ec) {
      if (any_byte_ && ec != asio::error::timed_out)
        co_return violation("the connection closed inside the response head");
      co_return transport(TransportPhase::await_head, ec);
    }
  }
}

std::optional<CallFault> UpstreamCall::parse_head(std::size_t bytes) {
  head_bytes_.assign(received_.substr(0, bytes));
  received_.remove_prefix(bytes);
  fields_.reserve(kUsualFields);
  auto head = read_response_head(head_bytes_, fields_);
  if (!head) return violation(std::move(head.error()));
  head_ = *head;
  body_ = BodyReader(head->framing, head->content_length);
  return std::nullopt;
}

Awaitable<std::optional<CallFault>> UpstreamCall::read_body(TimePoint deadline) {
  pieces_.clear();
  error_code ec;
  while (!body_.done()) {
    received_.remove_prefix(body_.read(received_, pieces_, ec));
    if (ec) co_return violation(fmt::format("bad body framing: {}", ec.message()));
    if (!pieces_.empty() || body_.done()) break;
    co_await read_more(deadline, ec);
    if (ec == asio::error::eof && body_.until_close())
      body_.closed();
    else if (ec)
      co_return transport(TransportPhase::body, ec);
  }
  co_return std::nullopt;
}

void UpstreamCall::finish() {
  if (!connection_) return;
  // Whatever else arrived would be taken for the next request's answer.
  const bool nothing_left = received_.empty() && connection_->nothing_buffered();
  const bool answered = head_ && head_->status >= 200 && head_->keep_alive && body_.done();
  const bool clean = answered && nothing_left && !cancelled_ && !connection_->answered_early() &&
                     connection_->is_open();
  if (clean)
    worker_.pool().give_back(std::move(connection_), worker_.now());
  else
    connection_->close();
}

void UpstreamCall::cancel() {
  cancelled_ = true;
  if (connection_) connection_->close();
}

}  // namespace spillway::server
