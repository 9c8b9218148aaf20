// Carries one request to providers and the answer back: the driver of core/attempt_loop.hpp. It
// decides nothing about retries or failover; it makes the calls the loop asks for, relays what
// comes, and reports what happened.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/attempt_loop.hpp"
#include "core/body.hpp"
#include "core/stream_relay.hpp"
#include "server/answer.hpp"
#include "server/client_connection.hpp"
#include "server/routes.hpp"
#include "server/snapshot.hpp"
#include "server/stream_writer.hpp"
#include "server/upstream_call.hpp"

namespace spillway::server {

struct AccessRecord;

class Forward {
 public:
  // Borrows everything, and lets go of the request's body as soon as nobody can be asked any more;
  // `keep_alive` says whether the client's connection may stay after the answer.
  Forward(Worker& worker, ClientConnection& connection, ClientRequest& request,
          SnapshotPtr snapshot, const Route& route, bool keep_alive);
  ~Forward();
  Forward(const Forward&) = delete;
  Forward& operator=(const Forward&) = delete;

  // nullopt: answered, or the client left. Else the answer is still to be written.
  Awaitable<std::optional<Answer>> run();

  // The answer did not end properly, so that the connection cannot carry another.
  bool must_close() const { return must_close_; }

 private:
  class CallInProgress;
  enum class Naming { group_only, with_deployment };

  Awaitable<std::optional<Answer>> run_attempts(ModelMatch match);
  // Fills body_, about_ and match_.
  std::optional<Answer> read_request();
  std::optional<Answer> refuse_before_routing(const std::optional<ModelMatch>& match) const;

  // True if only an event stream answers the request.
  bool wants_event_stream() const {
    return body_->stream && traits(endpoint_).dialect != StreamDialect::framing;
  }

  std::optional<Answer> admit();
  void release();

  // One attempt, by what the provider's answer turns out to be.
  Awaitable<attempt::Event> call(attempt::Call call);
  Awaitable<attempt::Event> receive(UpstreamCall& upstream, const attempt::Call& call);
  Awaitable<attempt::Event> receive_error(UpstreamCall& upstream, const attempt::Call& call);
  Awaitable<attempt::Event> receive_binary(UpstreamCall& upstream, const attempt::Call& call);
  // `body`: what was read of it already.
  Awaitable<attempt::Event> receive_plain(UpstreamCall& upstream, const attempt::Call& call,
                                          std::string body);
  Awaitable<attempt::Event> receive_stream(UpstreamCall& upstream, const attempt::Call& call);
  Awaitable<attempt::Event> relay_stream(UpstreamCall& upstream, const attempt::Call& call,
                                         StreamRelay& relay);
  Awaitable<attempt::Event> relay_bytes(UpstreamCall& upstream, const attempt::Call& call,
                                        std::string held);
  Awaitable<void> end_content();
  Awaitable<void> wait_until(TimePoint until);

  Awaitable<std::optional<Answer>> give_up(attempt::GiveUp why);
  Awaitable<void> send_plain();
  std::string head_before_content();
  void begin_content(const UpstreamCall& upstream, bool event_stream);
  bool recoverable() const;
  void let_go_of_body();
  Awaitable<std::optional<CallFault>> send(UpstreamCall& upstream, const attempt::Call& call);
  // `from_provider` is nullptr when comments send the head before anybody has answered.
  std::string stream_head(const UpstreamCall* from_provider, bool event_stream);
  std::string routing_headers(Naming naming) const;
  std::string litellm_lines(Naming naming) const;
  std::string history() const;
  attempt::Event failed(const AttemptOutcome& outcome, const attempt::Call& call) const;
  // From outside: whatever is waiting returns soon, and run_attempts() says why.
  void end_early(ClientConnection::Ending why);
  bool ended_early() const { return ending_.has_value(); }
  bool client_left() const { return ending_ == ClientConnection::Ending::client_left; }
  Awaitable<std::optional<Answer>> say_why_it_ended();
  void report(const attempt::Event& event);
  void note_tokens(const attempt::Call& call, const attempt::Event& event);
  void record(int status, std::optional<ErrorClass> error_class);
  void record_attempts(AccessRecord& line);
  Duration overhead() const;

  Worker& worker_;
  ClientConnection& connection_;
  ClientRequest& request_;
  SnapshotPtr snapshot_;
  const Config& config_;
  Endpoint endpoint_;
  bool keep_alive_;
  WorkerFleet fleet_;
  std::optional<BodyView> body_;
  RequestTraits about_;
  AttemptLoop* loop_ = nullptr;       // while run_attempts() is running
  UpstreamCall* upstream_ = nullptr;  // while a call is running: what a leaving client cancels
  const attempt::Call* current_ = nullptr;
  std::optional<StreamTranscript> transcript_;  // while the stream could be continued elsewhere
  std::optional<StreamRelay> relay_;
  StreamWriter writer_;
  Timer wait_timer_;
  std::string plain_head_, plain_body_;  // a complete plain answer, about to be sent
  std::optional<ModelMatch> match_;
  std::optional<DeploymentIndex> asked_;  // the latest
  std::optional<ClientConnection::Ending> ending_;
  std::optional<TimePoint> first_token_at_;
  TimePoint call_begun_{};
  std::optional<Duration> overhead_;  // fixed when the head is made
  Duration waited_{};
  TokenUsage usage_;
  std::string detail_;          // of the failure that ends the request, for the log
  std::uint64_t bytes_before_;  // written to the connection by earlier answers
  std::size_t request_bytes_;
  int status_ = 200;            // of the answer that was begun
  bool event_stream_ = false;   // what was begun
  bool content_begun_ = false;  // of the call under way
  Resume resume_ = Resume::no;  // how the call under way was asked
  bool admitted_ = false;       // counted by the gateway as running
  bool must_close_ = false;
};

}  // namespace spillway::server
