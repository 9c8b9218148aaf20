#include "server/forward.hpp"

#include <algorithm>
#include <exception>
#include <utility>

#include "core/continuation.hpp"
#include "server/gateway.hpp"
#include "server/metrics.hpp"
#include "server/worker.hpp"

namespace spillway::server {

namespace {

StreamWriter::Options writer_options(const Config& config, const ClientRequest& request) {
  StreamWriter::Options options;
  options.framing =
      request.http_1_0 ? StreamWriter::Framing::until_close : StreamWriter::Framing::chunked;
  options.write_timeout = config.timeouts.stream_idle;
  options.keepalive = config.stream_keepalive;
  return options;
}

}  // namespace

Forward::Forward(Worker& worker, ClientConnection& connection, ClientRequest& request,
                 SnapshotPtr snapshot, const Route& route, bool keep_alive)
    : worker_(worker),
      connection_(connection),
      request_(request),
      snapshot_(std::move(snapshot)),
      config_(snapshot_->config),
      endpoint_(route.endpoint),
      keep_alive_(keep_alive),
      fleet_(*snapshot_, worker.random()),
      writer_(worker, connection, *this, writer_options(config_, request)),
      alarm_(worker.loop()),
      bytes_before_(connection.bytes_written()),
      request_bytes_(request.body.size()) {}

Forward::~Forward() {
  release();
  connection_.stop_watching();
}

// ------------------------------------------------------------------------------------- the request

Awaitable<void> Forward::run() {
  if (is_refused()) co_return;
  if (!admit()) co_await wait_for_turn();
  if (unwritten_) co_return;
  if (ended_early()) co_return co_await say_why_it_ended();
  leg_request_.emplace(worker_, config_, snapshot_->heads, fleet_, request_, *body_, endpoint_);
  connection_.watch([this](ClientConnection::Ending why) { end_early(why); });
  if (leg_request_->wants_event_stream()) writer_.start_comments();
  std::exception_ptr error;
  bool starved = false;
  try {
    co_await run_attempts();
  } catch (const std::bad_alloc&) {
    starved = true;
    error = std::current_exception();
  } catch (...) {
    error = std::current_exception();
  }
  // What the legs that lost still do with the request ends before it does.
  if (running_ > 0) {
    cancel_legs();
    const auto join = [this](coroutine::Chain::Waiting waiting) {
      joining_.emplace(std::move(waiting));
    };
    co_await coroutine::Wait(join);
  }
  if (starved && bytes_sent() == 0) {
    abandon_calls(ErrorClass::internal);
    release();
    leave_unwritten(out_of_memory());
  } else if (error) {
    abandon_calls(ErrorClass::internal);
    record(500, ErrorClass::internal, bytes_sent());
    std::rethrow_exception(error);
  }
  writer_.stop_comments();
  connection_.stop_watching();
}

Awaitable<void> Forward::run_attempts() {
  Step step = next_step(attempt::Begin());
  for (;;) {
    if (step == Step::run_leg || step == Step::race) {
      CallLeg* leg = leg_;
      if (step == Step::run_leg)
        co_await leg->run(*loop_);
      else
        leg = co_await race();
      if (leg) end_race_of(*leg);
      if (leg && must_be_given(*leg)) {
        if (leg->answer() == CallLeg::Answer::bytes)
          co_await give_bytes(*leg);
        else
          co_await give_stream(*leg);
      }
      step = conclude(leg);
    } else if (step == Step::wait) {
      co_await wait_until(wait_until_);
      step = ended_early() ? Step::end_early : next_step(attempt::TimerFired());
    } else if (step == Step::give_up) {
      co_return co_await give_up(*given_up_);
    } else if (step == Step::finish) {
      const bool given = co_await send_plain();
      if (client_left())
        record(499, ErrorClass::client_closed, bytes_sent());
      else
        record(status_, given ? std::nullopt : std::optional(ErrorClass::unavailable),
               bytes_sent());
      co_return;
    } else {
      co_return co_await say_why_it_ended();
    }
  }
}

Forward::Step Forward::next_step(const attempt::Event& event) {
  attempt::Action action = loop_->next(event, worker_.now());
  // Whatever a call ended in says nothing about its deployment.
  if (ended_early()) return Step::end_early;
  if (auto* const call = std::get_if<attempt::Call>(&action)) {
    leg_ = begin_call(std::move(*call));
    return leg_ ? Step::run_leg : Step::race;
  }
  if (std::holds_alternative<attempt::Continue>(action)) return Step::race;
  if (const auto* const wait = std::get_if<attempt::Wait>(&action)) {
    wait_until_ = wait->until;
    return Step::wait;
  }
  if (auto* const why = std::get_if<attempt::GiveUp>(&action)) {
    given_up_ = std::make_unique<attempt::GiveUp>(std::move(*why));
    return Step::give_up;
  }
  return Step::finish;
}

Awaitable<void> Forward::wait_until(TimePoint until) {
  const TimePoint begun = worker_.now();
  // A leg that ends meanwhile wakes whoever waits.
  while (worker_.now() < until && !ended_early()) co_await alarm_.until(until);
  count_wait(begun, worker_.now() - begun);
}

void Forward::abandon_calls(ErrorClass why) {
  loop_->abandon(why, worker_.now());
}

void Forward::cancel_legs() {
  for (const auto& leg : legs_)
    if (leg) leg->cancel();
}

void Forward::end_early(ClientConnection::Ending why) {
  if (!ending_) ending_ = why;
  cancel_legs();
  alarm_.wake();
  if (client_left()) connection_.close();
}

// ------------------------------------------------------------------------------------- an attempt

CallLeg* Forward::begin_call(attempt::Call call) {
  const auto index = static_cast<std::size_t>(call.leg);
  std::shared_ptr<StreamTranscript> transcript = transcript_;
  if (call.resume == Resume::no && continuable_) transcript = std::make_shared<StreamTranscript>();
  if (call.leg == attempt::Leg::first) asked_ = call.deployment;
  hedge_at_ = call.hedge_at;
  if (answering_ == legs_[index].get()) answering_ = nullptr;
  legs_[index] = std::allocate_shared<CallLeg>(coroutine::Allocator<CallLeg>(), *leg_request_,
                                               std::move(call), std::move(transcript));
  const bool alone = !hedge_at_ && !racing_[1 - index];
  if (alone) return legs_[index].get();
  enter_race(legs_[index]);
  return nullptr;
}

// Runs the leg as a coroutine of its own.
void Forward::enter_race(const std::shared_ptr<CallLeg>& leg) {
  const auto index = static_cast<std::size_t>(leg->call().leg);
  // Until now the first leg waited alone.
  if (leg->call().leg == attempt::Leg::hedge && racing_[0])
    count_wait(legs_[0]->begun(), leg->begun() - legs_[0]->begun());
  racing_[index] = true;
  ++running_;
  const auto run = [](std::shared_ptr<CallLeg> own, AttemptLoop& loop) -> Awaitable<void> {
    co_await own->run(loop);
  };
  OnEnd on_end = [this](std::exception_ptr error) {
    --running_;
    if (error) leg_error_ = error;
    if (!joining_)
      alarm_.wake();
    else if (running_ == 0)
      end_join();
  };
  try {
    spawn(run(leg, *loop_), std::move(on_end));
  } catch (...) {  // no memory for it: it has not begun
    --running_;
    racing_[index] = false;
    throw;
  }
}

Awaitable<CallLeg*> Forward::race() {
  for (;;) {
    if (leg_error_) std::rethrow_exception(std::exchange(leg_error_, nullptr));
    // What failed meanwhile is told before another wins.
    for (const bool failed : {true, false}) {
      for (std::size_t i = 0; i < legs_.size(); ++i) {
        const bool arrived = racing_[i] && legs_[i]->ready();
        if (arrived && (legs_[i]->ending() != nullptr) == failed) co_return legs_[i].get();
      }
    }
    if (hedge_at_ && worker_.now() >= *hedge_at_) {
      hedge_at_.reset();
      co_return nullptr;
    }
    co_await alarm_.until(hedge_at_.value_or(TimePoint::max()));
  }
}

void Forward::end_race_of(CallLeg& leg) {
  racing_[static_cast<std::size_t>(leg.call().leg)] = false;
  if (!leg.ending()) call_off_other(leg);
}

bool Forward::must_be_given(const CallLeg& leg) const {
  return !leg.ending() && leg.answer() != CallLeg::Answer::plain;
}

Forward::Step Forward::conclude(CallLeg* leg) {
  const attempt::Event event = leg ? what_came_of(*leg) : attempt::HedgeDue();
  return ended_early() ? Step::end_early : next_step(event);
}

attempt::Event Forward::what_came_of(CallLeg& leg) {
  if (!leg.ending() && leg.answer() == CallLeg::Answer::plain) take_plain(leg);
  attempt::Event event = leg.outcome();
  const bool completed = std::holds_alternative<attempt::Completed>(event);
  if (completed && leg.answer() == CallLeg::Answer::stream && leg.resumed())
    worker_.metrics().count_recovered_stream();
  count_wait(leg.begun(), leg.upstream().waited());
  leg.finish();
  note_usage(leg);
  if (auto* failed = std::get_if<attempt::Failed>(&event)) {
    failed->resumable = transcript_ && transcript_->resumable();
    failed->by_prefix = failed->resumable && continues_by_prefix(request_.body);
  }
  return event;
}

// Its provider has begun to work, and counts that as it likes.
void Forward::call_off_other(const CallLeg& winner) {
  asked_ = winner.call().deployment;
  const std::size_t other = 1 - static_cast<std::size_t>(winner.call().leg);
  if (!std::exchange(racing_[other], false)) return;
  legs_[other]->cancel();
  fleet_.used_tokens(legs_[other]->call().deployment, loop_->traits().tokens, worker_.now());
  legs_[other].reset();  // its coroutine keeps it for as long as that takes
}

// May be the end of this object.
void Forward::end_join() {
  coroutine::Chain::Waiting waiting = std::move(*joining_);
  joining_.reset();
  waiting.go_on();
}

// An answer that does not tell its usage counts as what was expected of it. What was said in vain
// counts too.
void Forward::note_usage(CallLeg& leg) {
  const bool streamed = leg.answer() == CallLeg::Answer::stream;
  if (streamed) {
    usage_.add(leg.relay().usage());
    worker_.metrics().count_dropped_events(leg.relay().dropped_events());
  }
  const bool answered = streamed ? leg.relay().begun() : answering_ == &leg;
  if (!answered) return;
  const TokenUsage& usage = streamed ? leg.relay().usage() : usage_;
  const std::uint64_t tokens =
      usage.known ? usage.prompt + usage.completion : loop_->traits().tokens;
  fleet_.used_tokens(leg.call().deployment, tokens, worker_.now());
}

// What two legs waited at the same time counts once.
Duration Forward::uncounted_wait(TimePoint from, Duration waited) const {
  const Duration counted = std::max(wait_counted_until_ - from, Duration{});
  return std::max(waited - counted, Duration{});
}

void Forward::count_wait(TimePoint from, Duration waited) {
  waited_ += uncounted_wait(from, waited);
  wait_counted_until_ = worker_.now();
}

// What the loop is told while a call is running; it has nothing to decide then.
void Forward::report(const attempt::Event& event) {
  loop_->next(event, worker_.now());
}

}  // namespace spillway::server
