// Carries one request to providers and the answer back: the driver of core/attempt_loop.hpp. It
// decides nothing about retries or failover; it makes the calls the loop asks for, relays what
// comes, and reports what happened.
#pragma once

#include <array>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/attempt_loop.hpp"
#include "core/body.hpp"
#include "server/alarm.hpp"
#include "server/answer.hpp"
#include "server/call_leg.hpp"
#include "server/client_connection.hpp"
#include "server/routes.hpp"
#include "server/snapshot.hpp"
#include "server/stream_writer.hpp"

namespace spillway::server {

struct AccessRecord;

class Forward : private StreamWriter::Author {
 public:
  // Borrows everything, and lets go of the request's body as soon as nobody can be asked any more;
  // `keep_alive` says whether the client's connection may stay after the answer.
  Forward(Worker& worker, ClientConnection& connection, ClientRequest& request,
          SnapshotPtr snapshot, const Route& route, bool keep_alive);
  ~Forward();
  Forward(const Forward&) = delete;
  Forward& operator=(const Forward&) = delete;

  Awaitable<void> run();

  // After run(). nullptr: answered, or the client left, and recorded. Else the answer that is still
  // to be written, and to be recorded.
  AnswerPtr take_unwritten() { return std::move(unwritten_); }

  // Of that answer: the log's line and the counters. It takes so many bytes, head and body.
  void record(const Answer& unwritten, std::size_t bytes);

  // The answer did not end properly, so that the connection cannot carry another.
  bool must_close() const { return must_close_; }

 private:
  enum class Naming { group_only, with_deployment };
  // What the loop wants done. Small, because streams wait between two steps.
  enum class Step { run_leg, race, wait, finish, give_up, end_early };

  Awaitable<void> run_attempts();
  Step next_step(const attempt::Event& event);
  bool is_refused();
  // Fills body_, match_ and `about`.
  std::optional<Answer> read_request(RequestTraits& about);
  std::optional<Answer> refuse_before_routing(const RequestTraits& about) const;
  void leave_unwritten(Answer answer) { unwritten_ = std::make_unique<Answer>(std::move(answer)); }

  bool admit();
  Awaitable<void> wait_for_turn();
  void release();

  // A call to be run here; nullptr: it is in a race, which has an end whenever the loop has to be
  // told something.
  CallLeg* begin_call(attempt::Call call);
  void enter_race(const std::shared_ptr<CallLeg>& leg);
  Awaitable<CallLeg*> race();  // who has come to an end; nullptr: a hedge is due
  // It has come to an end: if it has something to give, it is the only one from now on.
  void end_race_of(CallLeg& leg);
  bool must_be_given(const CallLeg& leg) const;
  // The loop is told what came of it, once what there was to give was given; nullptr: a hedge is
  // due.
  Step conclude(CallLeg* leg);
  attempt::Event what_came_of(CallLeg& leg);
  void call_off_other(const CallLeg& winner);
  void cancel_legs();
  void end_join();

  // What the call came to, given to the client.
  void take_plain(CallLeg& leg);
  Awaitable<void> give_stream(CallLeg& leg);
  Awaitable<void> give_bytes(CallLeg& leg);
  Awaitable<void> end_content();
  Awaitable<void> wait_until(TimePoint until);

  Awaitable<void> give_up(const attempt::GiveUp& why);
  Awaitable<void> end_broken(const Failure& why);
  Awaitable<bool> send_plain();
  std::string head_before_content() override;
  bool may_comment() const override { return !answering_ || answering_->at_boundary(); }
  void begin_content(CallLeg& leg, bool event_stream);
  void let_go_of_body();
  // `from_provider` is nullptr when comments send the head before anybody has answered.
  std::string stream_head(const UpstreamCall* from_provider, bool event_stream,
                          StreamWriter::Framing framing);
  void add_routing(std::string& lines, Naming naming) const;
  std::string litellm_lines(Naming naming) const;
  void add_history(std::string& text) const;
  // From outside: whatever is waiting returns soon, and run_attempts() says why.
  void end_early(ClientConnection::Ending why);
  bool ended_early() const { return ending_.has_value(); }
  bool client_left() const { return ending_ && *ending_ != ClientConnection::Ending::cut_off; }
  Awaitable<void> say_why_it_ended();
  attempt::GiveUp shutting_down() const;
  void report(const attempt::Event& event);
  void note_usage(CallLeg& leg);
  Duration uncounted_wait(TimePoint from, Duration waited) const;
  void count_wait(TimePoint from, Duration waited);
  void abandon_calls(ErrorClass why);
  void record(int status, std::optional<ErrorClass> error_class, std::uint64_t bytes);
  std::uint64_t bytes_sent() const { return connection_.bytes_written() - bytes_before_; }
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
  AnswerPtr unwritten_;
  std::optional<BodyView> body_;
  std::optional<CallLeg::Request> leg_request_;
  std::optional<AttemptLoop> loop_;                            // unless it was refused
  std::array<std::shared_ptr<CallLeg>, attempt::kLegs> legs_;  // the latest of each
  std::array<bool, attempt::kLegs> racing_{};                  // run() is under way, or not heeded
  unsigned running_ = 0;                                       // legs' coroutines of their own
  std::exception_ptr leg_error_;                               // what one of those threw
  std::optional<coroutine::Chain::Waiting> joining_;           // for them to end
  CallLeg* leg_ = nullptr;                                     // of Step::run_leg
  TimePoint wait_until_{};                                     // of Step::wait
  std::unique_ptr<attempt::GiveUp> given_up_;                  // of Step::give_up
  std::optional<TimePoint> hedge_at_;
  CallLeg* answering_ = nullptr;                  // whose content the client is given
  std::shared_ptr<StreamTranscript> transcript_;  // while the stream could be continued elsewhere
  StreamWriter writer_;
  Alarm alarm_;  // woken by whatever run() may wait for
  std::optional<ModelMatch> match_;
  std::optional<DeploymentIndex> asked_;  // the latest; a hedge, if it answered
  std::optional<ClientConnection::Ending> ending_;
  std::optional<TimePoint> first_token_at_;
  std::optional<Duration> overhead_;  // fixed when the head is made
  Duration waited_{};                 // on upstreams, up to
  TimePoint wait_counted_until_{};    // this
  TokenUsage usage_;
  std::string detail_;          // of the failure that ends the request, for the log
  std::uint64_t bytes_before_;  // written to the connection by earlier answers
  std::size_t request_bytes_;
  int status_ = 200;           // of the answer that was begun
  bool event_stream_ = false;  // what was begun
  bool continuable_ = false;   // the stream may be one that another can go on with
  bool admitted_ = false;      // counted by the gateway as running
  bool must_close_ = false;
};

}  // namespace spillway::server
