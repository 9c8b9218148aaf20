// One request to one provider: takes a connection, sends, reads the response head, hands out the
// body as it arrives. It reports what happened as a value and decides nothing.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/attempt_loop.hpp"
#include "core/outcome.hpp"
#include "server/body_reader.hpp"
#include "server/upstream_connection.hpp"

namespace spillway::server {

class Worker;

// Why the call ended without a complete answer.
struct CallFault {
  AttemptOutcome outcome;
  bool stale =
      false;  // a reused connection was closed before any response byte: ask again on a fresh one
};
using CallFaultPtr = std::unique_ptr<CallFault>;  // nullptr: none

class UpstreamCall {
 public:
  // `reader` is told to take home what it has of the worker's read buffer; it calls
  // keep_received().
  UpstreamCall(Worker& worker, const Config& config, const Deployment& deployment,
               ReadBuffer::Borrower& reader);
  // Touches nothing but the worker and the connection: where the event loop goes away, the rest may
  // be gone.
  ~UpstreamCall();
  UpstreamCall(const UpstreamCall&) = delete;
  UpstreamCall& operator=(const UpstreamCall&) = delete;

  // True if the request is on its way: a connection was waiting for it, and took all of it. Else
  // what is left is in `request`, for send_rest(). That the provider did not read all of it is no
  // fault yet: its answer says more.
  bool send_at_once(Buffers& request, attempt::Call::Connection connection);
  Awaitable<CallFaultPtr> send_rest(Buffers request, TimePoint deadline);
  // Up to and including the response head; interim responses are passed over.
  Awaitable<CallFaultPtr> read_head(TimePoint deadline);

  int status() const { return head_->status; }
  Headers headers() const { return fields_; }
  // Once they have been passed on, of a stream that may last: all but those that may say for how
  // long the deployment is to be left alone, should the stream end in an error.
  void forget_headers();

  // The next pieces of the de-chunked body, in pieces(); valid until anything is waited for. None
  // are left once body_done(). False: they have not arrived; read_body() waits for them.
  bool next_pieces(CallFaultPtr& fault);
  Awaitable<CallFaultPtr> read_body(TimePoint deadline);
  // At a time; there are never more than the worker's read buffer holds.
  void read_at_most(std::size_t bytes) { connection_->read_at_most(bytes); }
  const std::vector<std::string_view>& pieces() const { return pieces_; }
  bool body_done() const { return body_.done(); }
  // As far as the head tells; 0 where it does not.
  std::uint64_t announced_bytes() const { return head_->content_length; }

  // Somebody else is about to use the worker's read buffer.
  void keep_received();

  // No more is read. Puts the connection back where it may be used again; closes it if anything
  // speaks against that.
  void finish();
  bool finished() const { return finished_; }

  // Ends the call from outside (the client left): whatever is waiting returns soon.
  void cancel();

  Duration waited() const { return waited_; }  // on the network, until nobody counts it any more
  void stop_counting_waits() { counting_waits_ = false; }

 private:
  bool take_pooled(attempt::Call::Connection wanted);
  Awaitable<CallFaultPtr> open_connection(TimePoint deadline);
  CallFaultPtr parse_head();
  CallFaultPtr parse_fields(std::size_t head_bytes);
  void begin_read(TimePoint deadline);
  std::string_view front() const;
  void end_read(std::string_view arrived);
  CallFaultPtr transport(TransportPhase phase, const error_code& ec) const;

  Worker& worker_;
  const Config& config_;
  const Deployment& deployment_;
  ReadBuffer::Borrower& reader_;
  std::unique_ptr<UpstreamConnection> connection_;
  std::optional<spillway::ResponseHead> head_;
  std::string head_bytes_;  // the final head's, kept for the views into it
  std::vector<HeaderView> fields_;
  BodyReader body_{BodyFraming::none, 0};
  std::string_view received_;  // and not parsed yet: where it was read, or in kept_
  std::string kept_;
  std::vector<std::string_view> pieces_;
  Duration waited_{};
  TimePoint reading_since_{};
  error_code write_error_;
  std::size_t searched_ = 0;  // of received_, for the end of the head
  unsigned interim_ = 0;
  bool counting_waits_ = true;
  bool any_byte_ = false;
  bool cancelled_ = false;
  bool finished_ = false;
};

}  // namespace spillway::server
