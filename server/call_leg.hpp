// One call of a request to one provider, up to where its answer can be given to the client: the
// first content of a stream, a complete plain answer, the first bytes of a binary one. Until then
// nothing is written to the client, so that two legs can be under way at once.
//
// It runs as a coroutine that may outlive whoever started it only where the event loop itself goes
// away; its destructor touches nothing of that but the worker.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "core/attempt_loop.hpp"
#include "core/body.hpp"
#include "core/stream_relay.hpp"
#include "server/client_request.hpp"
#include "server/routes.hpp"
#include "server/snapshot.hpp"
#include "server/upstream_call.hpp"

namespace spillway::server {

class CallLeg : private ReadBuffer::Borrower {
 public:
  // What every leg of a request shares; outlives them, except where the event loop goes away.
  struct Request {
    Worker& worker;
    const Config& config;
    const PreparedHeads& heads;
    Fleet& fleet;
    const ClientRequest& client;
    const BodyView& body;
    Endpoint endpoint;
    // Only an event stream answers the request.
    bool wants_event_stream() const {
      return body.stream && traits(endpoint).dialect != StreamDialect::framing;
    }
  };

  // `transcript`, if any, takes down the stream, or says how far it has come already.
  CallLeg(const Request& request, attempt::Call call, std::shared_ptr<StreamTranscript> transcript);
  CallLeg(const CallLeg&) = delete;
  CallLeg& operator=(const CallLeg&) = delete;

  // Returns once there is something to give to the client, or the call has failed. `loop` is told
  // when the head arrives.
  Awaitable<void> run(AttemptLoop& loop);
  // Whatever run() waits for ends soon.
  void cancel() { upstream_.cancel(); }
  // No more is read; the connection goes back to the pool where it may.
  void finish() { upstream_.finish(); }

  bool ready() const { return ready_; }  // run() has returned

  // --- after run() ---
  // What the loop is to be told; nullptr: there is something to give.
  using Ending = std::unique_ptr<attempt::Event>;
  const Ending& ending() const { return ending_; }
  // The same, once that was given.
  attempt::Event outcome() const;
  enum class Answer { stream, plain, bytes };
  Answer answer() const { return answer_; }
  // Of a stream.
  StreamRelay& relay() { return *relay_; }
  // A plain answer, complete; may lie in the worker's read buffer.
  std::string_view plain() const { return plain_; }
  // Of bytes, what has come of them.
  std::string take_held() { return std::move(held_); }
  const TokenUsage& plain_usage() const { return plain_usage_; }

  UpstreamCall& upstream() { return upstream_; }
  const attempt::Call& call() const { return call_; }
  const std::shared_ptr<StreamTranscript>& transcript() const { return transcript_; }
  bool resumed() const { return resume_ != Resume::no; }
  TimePoint begun() const { return begun_; }
  // Nothing was given yet, or it ends at an event boundary.
  bool at_boundary() const { return !relay_ || relay_->at_boundary(); }
  bool terminal_relayed() const { return relay_ && relay_->terminal_relayed(); }

  // What has come of a stream goes into the relay; false: nothing more will, as ending() says.
  bool take_stream(CallFaultPtr& fault);
  // Until when the next of it is waited for.
  TimePoint reading_deadline() const;
  // Each is the ending. When the relay has failed:
  void fail_stream();
  void fail(const AttemptOutcome& outcome);

 private:
  attempt::Failed failed(const AttemptOutcome& outcome) const;
  void take_home() override;
  bool client_names_account(const Deployment& deployment) const;
  Awaitable<CallFaultPtr> send();
  // What the pieces that arrive are taken for, until run() is over.
  enum class Reading { error, first_bytes, plain, first_content };
  void begin_answer(AttemptLoop& loop);
  void take_pieces(CallFaultPtr& fault);
  void take_error(bool cut);
  void take_first_bytes();
  void take_plain();
  void take_first_content(CallFaultPtr& fault);
  void judge_plain();
  void hold_pieces();

  const Request& request_;
  attempt::Call call_;
  std::shared_ptr<StreamTranscript> transcript_;
  UpstreamCall upstream_;
  TimePoint begun_;
  Resume resume_;
  Ending ending_;
  Answer answer_ = Answer::plain;
  std::optional<StreamRelay> relay_;
  TokenUsage plain_usage_;
  std::string held_;
  std::string_view plain_;
  TimePoint deadline_;
  Reading reading_ = Reading::plain;
  bool settled_ = false;  // there is something to give
  bool ready_ = false;
};

}  // namespace spillway::server
