#include "server/upstream_call.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/head_check.hpp"
#include "server/gather_write.hpp"
#include "server/worker.hpp"

namespace spillway::server {

namespace {

constexpr std::string_view kStatusLineStart = "HTTP/1.";
constexpr std::size_t kShortRest = 64;  // bytes
constexpr std::size_t kUsualFields = 16;

CallFaultPtr fault_of(AttemptOutcome outcome, bool stale = false) {
  return std::make_unique<CallFault>(std::move(outcome), stale);
}

CallFaultPtr violation(std::string what) {
  return fault_of(ProtocolViolation{std::move(what)});
}

}  // namespace

UpstreamCall::UpstreamCall(Worker& worker, const Config& config, const Deployment& deployment,
                           ReadBuffer::Borrower& reader)
    : worker_(worker), config_(config), deployment_(deployment), reader_(reader) {
  worker_.upstream_call_begun();
}

UpstreamCall::~UpstreamCall() {
  if (!finished_) worker_.upstream_call_ended();
}

bool UpstreamCall::send_at_once(Buffers& request, attempt::Call::Connection connection) {
  return take_pooled(connection) && connection_->write_at_once(request, write_error_);
}

Awaitable<CallFaultPtr> UpstreamCall::send_rest(Buffers request, TimePoint deadline) {
  if (!connection_) {
    auto fault = co_await open_connection(deadline);
    if (fault) co_return fault;
    if (connection_->write_at_once(request, write_error_)) co_return nullptr;
  }
  const TimePoint begun = worker_.now_anew();
  co_await connection_->write(std::move(request), deadline, write_error_);
  waited_ += worker_.now() - begun;
  if (write_error_ == asio::error::timed_out)
    co_return transport(TransportPhase::send, write_error_);
  co_return nullptr;
}

bool UpstreamCall::take_pooled(attempt::Call::Connection wanted) {
  if (wanted == attempt::Call::Connection::pooled)
    connection_ = worker_.pool().take(deployment_.origin, worker_.now());
  worker_.count_connection(connection_ != nullptr);
  if (connection_) connection_->read_at_most(SIZE_MAX);
  if (connection_ && cancelled_) connection_->close();
  return connection_ != nullptr;
}

Awaitable<CallFaultPtr> UpstreamCall::open_connection(TimePoint deadline) {
  const TimePoint begun = worker_.now_anew();
  connection_ = std::make_unique<UpstreamConnection>(worker_, deployment_.origin);
  if (cancelled_) connection_->close();
  const TimePoint connect_by = std::min(deadline, begun + config_.timeouts.connect);
  auto proxy = proxy_for(config_.proxy, deployment_.origin);
  const auto problem = co_await connection_->connect(std::move(proxy), connect_by);
  waited_ += worker_.now() - begun;
  if (!problem) co_return nullptr;
  if (problem->cause == TransportCause::exhausted) worker_.pool().clear();  // for the next one
  co_return fault_of(*problem);
}

CallFaultPtr UpstreamCall::transport(TransportPhase phase, const error_code& ec) const {
  TransportFailure failure;
  failure.phase = phase;
  failure.cause = ec == asio::error::timed_out ? TransportCause::timed_out : TransportCause::failed;
  failure.detail = ec == asio::error::timed_out ? "deadline passed" : ec.message();
  const bool stale =
      connection_->reused && !any_byte_ && !cancelled_ && failure.cause == TransportCause::failed;
  return fault_of(std::move(failure), stale);
}

void UpstreamCall::keep_received() {
  if (received_.empty() || received_.data() == kept_.data()) return;
  std::string kept(received_);  // usually less than what kept_ may still have room for
  kept_ = std::move(kept);
  received_ = kept_;
}

// More behind what has been received and not parsed.
void UpstreamCall::begin_read(TimePoint deadline) {
  keep_received();
  if (counting_waits_) reading_since_ = worker_.now_anew();
  connection_->begin_read(deadline);
}

// The little that is left between two chunks is copied in front of what comes, not the other way
// round.
std::string_view UpstreamCall::front() const {
  return received_.size() <= kShortRest ? received_ : std::string_view();
}

void UpstreamCall::end_read(std::string_view arrived) {
  if (counting_waits_) waited_ += worker_.now() - reading_since_;
  if (arrived.empty()) return;
  any_byte_ = true;
  received_ = received_.size() <= kShortRest ? arrived : kept_.append(arrived);
}

Awaitable<CallFaultPtr> UpstreamCall::read_head(TimePoint deadline) {
  for (;;) {
    error_code ec;
    std::string_view arrived;
    begin_read(deadline);
    while (!connection_->read_at_once(reader_, front(), arrived, ec))
      co_await connection_->wait(ec);
    end_read(arrived);
    if (ec) {
      if (any_byte_ && ec != asio::error::timed_out)
        co_return violation("the connection closed inside the response head");
      CallFaultPtr fault = transport(TransportPhase::await_head, ec);
      // A provider may refuse a request before it has read all of it: only if it says nothing does
      // the failed write say why.
      const bool sent_in_vain = write_error_ && !any_byte_ && !fault->stale;
      if (sent_in_vain) fault = transport(TransportPhase::send, write_error_);
      co_return fault;
    }
    auto fault = parse_head();
    if (fault || head_) co_return fault;
  }
}

// Fills head_ once the final head is there.
CallFaultPtr UpstreamCall::parse_head() {
  for (;;) {
    const std::size_t compared = std::min(received_.size(), kStatusLineStart.size());
    if (received_.substr(0, compared) != kStatusLineStart.substr(0, compared))
      return violation("the answer is not HTTP/1.x");
    const std::size_t end = received_.find("\r\n\r\n", searched_ < 3 ? 0 : searched_ - 3);
    const bool complete = end != std::string_view::npos;
    if (complete ? end + 4 > bounds::kUpstreamHeadBytes
                 : received_.size() >= bounds::kUpstreamHeadBytes)
      return violation("the response head is too large");
    searched_ = complete ? 0 : received_.size();
    if (!complete) return nullptr;
    auto fault = parse_fields(end + 4);
    if (fault || status() >= 200) return fault;
    if (status() == 101) return violation("101 Switching Protocols was not asked for");
    if (++interim_ > bounds::kInterimResponses) return violation("too many 1xx answers");
    head_.reset();
  }
}

CallFaultPtr UpstreamCall::parse_fields(std::size_t bytes) {
  head_bytes_.assign(received_.substr(0, bytes));
  received_.remove_prefix(bytes);
  fields_.reserve(kUsualFields);
  auto head = read_response_head(head_bytes_, fields_);
  if (!head) return violation(std::move(head.error()));
  head_ = *head;
  body_ = BodyReader(head->framing, head->content_length);
  return nullptr;
}

void UpstreamCall::forget_headers() {
  std::erase_if(fields_, [](const HeaderView& field) { return !may_tell_hint(field.name); });
  fields_.shrink_to_fit();
  std::string kept;
  for (const HeaderView& field : fields_) kept.append(field.name).append(field.value);
  head_bytes_.swap(kept);  // an assignment might keep the memory of the whole head
  const char* at = head_bytes_.data();
  for (HeaderView& field : fields_) {
    for (std::string_view* part : {&field.name, &field.value}) {
      *part = std::string_view(at, part->size());
      at += part->size();
    }
  }
}

bool UpstreamCall::next_pieces(CallFaultPtr& fault) {
  pieces_.clear();
  if (body_.done()) return true;
  error_code ec;
  received_.remove_prefix(body_.read(received_, pieces_, ec));
  if (ec) fault = violation(fmt::format("bad body framing: {}", ec.message()));
  return ec || !pieces_.empty() || body_.done();
}

Awaitable<CallFaultPtr> UpstreamCall::read_body(TimePoint deadline) {
  CallFaultPtr fault;
  while (!next_pieces(fault)) {
    error_code ec;
    std::string_view arrived;
    begin_read(deadline);
    while (!connection_->read_at_once(reader_, front(), arrived, ec))
      co_await connection_->wait(ec);
    end_read(arrived);
    if (ec == asio::error::eof && body_.until_close())
      body_.closed();
    else if (ec)
      co_return transport(TransportPhase::body, ec);
  }
  co_return fault;
}

void UpstreamCall::finish() {
  if (std::exchange(finished_, true)) return;
  worker_.upstream_call_ended();
  if (!connection_) return;
  // Whatever else arrived would be taken for the next request's answer.
  const bool nothing_left = received_.empty() && connection_->nothing_buffered();
  const bool answered = head_ && head_->status >= 200 && head_->keep_alive && body_.done();
  const bool sent = !write_error_;
  const bool clean = answered && sent && nothing_left && !cancelled_ &&
                     !connection_->answered_early() && connection_->is_open();
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
