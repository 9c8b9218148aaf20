// What a provider's event stream means, byte for byte and without I/O. The driver feeds what
// arrives and writes what comes out; this machine holds the head until the first content, drops
// what is not JSON, notices errors inside the stream, and knows whether the stream ended properly
// (DESIGN.md section 6).
//
//   holding --content--> relaying --[DONE] / terminal event / end after finish_reason--> complete
//      \------------------- error event, early end, junk ----------------------------> failed
#pragma once

#include <cstddef>
#include <cstdint>
#include <forward_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/endpoint.hpp"
#include "core/event_pattern.hpp"
#include "core/outcome.hpp"
#include "core/sse.hpp"
#include "core/stream_event.hpp"
#include "core/stream_transcript.hpp"

namespace spillway {

enum class StreamState : std::uint8_t { holding, relaying, complete, failed };

// True for the data of the event that ends a chat stream.
bool is_stream_done(std::string_view data);

class StreamRelay {
 public:
  // `transcript`, if any, outlives the relay; its leg has been begun. It is for dialects with
  // choices only.
  explicit StreamRelay(StreamDialect dialect, StreamTranscript* transcript = nullptr)
      : dialect_(dialect), transcript_(transcript) {}
  StreamRelay(const StreamRelay&) = delete;  // output and failure point into it
  StreamRelay& operator=(const StreamRelay&) = delete;

  // One piece of the body, de-chunked. `bytes` must stay valid until clear_output(): whole events
  // are handed on from where they lie, only an unfinished one is copied. Nothing is taken once
  // complete or failed.
  StreamState feed(std::string_view bytes);

  // The body ended as its framing says it should. Completes (supplying a forgotten [DONE] after a
  // finish_reason), or fails as a protocol violation: an end that is not announced is a truncation.
  StreamState finish();

  StreamState state() const { return state_; }

  // Bytes for the client, in order: nothing while holding, then whole events as they came. Valid
  // until the next clear_output().
  std::span<const std::string_view> output() const { return output_; }
  void clear_output();
  // Copies the output: what was fed need not stay valid any longer.
  void keep_output();

  // True if the bytes put out so far end at an event boundary, so that a comment may be put in.
  bool at_boundary() const;

  // When failed: the error inside the stream, or a protocol violation. Views in it are valid until
  // the next feed().
  const AttemptOutcome& failure() const { return failure_->outcome; }

  // When failed: the stream said something else than what it was to continue.
  bool diverged() const { return diverged_; }

  // True once the provider has said something, whether or not that was put out.
  bool begun() const { return begun_; }
  // True while more is awaited.
  bool open() const { return state_ == StreamState::holding || state_ == StreamState::relaying; }
  // True if the stream failed by its dialect's own terminal event (response.failed after content),
  // which has been put out: the client needs no error event any more.
  bool terminal_relayed() const { return terminal_relayed_; }

  const TokenUsage& usage() const { return usage_; }
  std::uint64_t events() const { return events_; }
  std::uint64_t dropped_events() const { return dropped_; }  // data that was not JSON

  // Bytes held in memory beside the driver's read buffer.
  std::size_t memory() const;

 private:
  enum class Verdict : std::uint8_t {
    hold,
    content,
    drop,
    terminal,
    failed_terminal,
    error,
    early_end,
    swallow,
    diverged
  };

  struct Ending {
    std::string body = {};  // what the outcome's views are of
    AttemptOutcome outcome = {};
  };

  // Each takes bytes off the front and returns the rest.
  std::string_view take_whole(std::string_view bytes);
  std::string_view complete_pending(std::string_view bytes);
  std::string_view continue_oversized(std::string_view bytes);

  Verdict judge(const SseEvent& event);
  std::optional<EventFacts> read(std::string_view data);
  Verdict judge_choices(const EventFacts& facts, std::string_view data);
  Verdict judge_responses(const EventFacts& facts, const SseEvent& event);
  Verdict judge_done();
  Verdict in_band_error(std::string_view body);

  bool puts_out(Verdict verdict) const;
  void take(std::string_view raw, Verdict verdict);
  void hold(std::string_view raw);
  void start_relaying();
  void pass_oversized(std::string_view bytes);
  void finish_pending();
  void finish_dialect();
  void diverge();
  void fail_protocol(std::string detail);

  StreamDialect dialect_;
  StreamTranscript* transcript_;
  StreamState state_ = StreamState::holding;
  SseScanner scanner_;
  EventPattern pattern_;
  std::string pending_;  // the unfinished event
  std::string held_;     // events held before the first content
  std::vector<std::string_view> output_;
  // What output_ views that is not the driver's; until clear_output().
  std::forward_list<std::string> kept_;
  std::unique_ptr<Ending> failure_;
  TokenUsage usage_;
  std::uint64_t events_ = 0;
  std::uint64_t dropped_ = 0;
  ChoiceSet choices_;       // that occurred
  ChoiceSet finished_;      // with a finish reason
  bool oversized_ = false;  // inside an event above kEventBytes: passed on unjudged
  std::size_t oversized_bytes_ = 0;
  bool terminal_relayed_ = false;
  bool diverged_ = false;
  bool begun_ = false;
  // Of the event being judged, among kept_; nullptr: put out as it came.
  const std::string* replacement_ = nullptr;
};

// A complete plain (not streamed) 200 answer.
struct PlainAnswer {
  // nullopt: it is what was asked for; else the error inside it, a view of the body, or the
  // protocol violation (not JSON, HTML, empty, not an object).
  std::optional<AttemptOutcome> fault;
  TokenUsage usage;  // of its `usage` member
};
// Binary endpoints accept any body that is not JSON.
PlainAnswer judge_plain_answer(Endpoint endpoint, std::string_view content_type,
                               std::string_view body);

// The event that ends a stream after the head was sent: `data: {"error":...}\n\n`, with `event:
// error\n` before it for the responses dialect.
std::string error_event(StreamDialect dialect, const Failure& failure);

}  // namespace spillway
