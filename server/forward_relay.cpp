#include <cstdint>

#include "server/forward.hpp"
#include "server/metrics.hpp"
#include "server/worker.hpp"

// How each kind of answer is given to the client.
namespace spillway::server {

namespace {

// What is read at a time for a client that does not keep up: it waits in memory.
constexpr std::size_t kBehindBytes = 16 * 1024;
constexpr Duration kStreamTailTimeout = milliseconds(100);  // for the last chunk behind [DONE]

}  // namespace

// Sent when the loop has heard of it.
void Forward::take_plain(CallLeg& leg) {
  usage_ = leg.plain_usage();
  status_ = leg.upstream().status();
  first_token_at_ = worker_.now();
  answering_ = &leg;
}

Awaitable<void> Forward::give_stream(CallLeg& leg) {
  StreamRelay& relay = leg.relay();
  UpstreamCall& upstream = leg.upstream();
  for (;;) {
    if (!relay.output().empty()) {
      begin_content(leg, true);
      bool written = writer_.write(relay.output());
      relay.clear_output();  // the writer has a copy of what it could not send
      const bool behind = writer_.must_flush();
      if (written && behind) written = co_await writer_.flush();
      if (!written) end_early(connection_.write_fault());
      if (!written) co_return;
      upstream.read_at_most(behind ? kBehindBytes : SIZE_MAX);
      let_go_of_body();
    }
    if (!relay.open()) break;
    CallFaultPtr fault;
    if (!upstream.next_pieces(fault)) fault = co_await upstream.read_body(leg.reading_deadline());
    if (!leg.take_stream(fault)) co_return;
  }
  if (relay.state() == StreamState::failed) co_return leg.fail_stream();
  co_await end_content();
  // The last chunk is the connection's business only: the client has its whole answer.
  if (!upstream.body_done()) co_await upstream.read_body(worker_.now() + kStreamTailTimeout);
}

// Binary answers, and plain ones too large to hold: relayed as they come. A cut ends the client's
// connection.
Awaitable<void> Forward::give_bytes(CallLeg& leg) {
  UpstreamCall& upstream = leg.upstream();
  std::string held = leg.take_held();
  std::vector<std::string_view> pieces(1, held);
  for (;;) {
    if (!pieces.empty()) {
      begin_content(leg, false);
      bool written = writer_.write(pieces);
      const bool behind = writer_.must_flush();
      if (written && behind) written = co_await writer_.flush();
      if (!written) end_early(connection_.write_fault());
      if (!written) co_return;
      upstream.read_at_most(behind ? kBehindBytes : SIZE_MAX);
      let_go_of_body();
    }
    if (upstream.body_done()) break;
    const auto fault = co_await upstream.read_body(worker_.now() + config_.timeouts.stream_idle);
    if (fault) co_return leg.fail(fault->outcome);
    pieces = upstream.pieces();
  }
  co_await end_content();
}

// The answer is out. Whether the client stays or goes from here on says nothing about it.
Awaitable<void> Forward::end_content() {
  release();
  const bool ended = co_await writer_.finish();
  if (ended)
    connection_.stop_watching();
  else
    end_early(connection_.write_fault());
  if (request_.http_1_0) must_close_ = true;
}

}  // namespace spillway::server
