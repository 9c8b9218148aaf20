#include "server/shared_state.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <span>

#include "core/bounds.hpp"
#include "server/event_loop.hpp"
#include "server/log.hpp"
#include "server/upstream_head.hpp"

namespace spillway::server {

namespace {

std::string address_of(const RedisSettings& settings) {
  return fmt::format("{}{}:{}/{}", settings.tls ? "rediss://" : "redis://",
                     bracketed(settings.host), settings.port, settings.database);
}

// Instances that lost the same Redis do not all come back at the same instant.
Duration jittered(Duration pause, Random& random) {
  return std::chrono::duration_cast<Duration>(pause * (0.5 + uniform(random) / 2));
}

}  // namespace

SharedState::SharedState(RedisSettings settings, TimePoint (*clock)())
    : settings_(std::move(settings)),
      address_(address_of(settings_)),
      clock_(clock),
      random_(seeded_random()),
      self_(random_() | 1),
      benches_(self_, settings_.database, seeded_random()),
      limits_(self_, settings_.database),
      affinities_(settings_.database) {
  due_.emplace(io_);
}

SharedState::~SharedState() {
  if (thread_.joinable()) {
    asio::post(io_, [this] { leave(); });
    thread_.join();
  }
  due_.reset();
}

void SharedState::wake_at(TimePoint when) {
  if (!due_) return;
  due_->expires_at(when);  // cancels a running wait, whose handler then sees the error
  due_->async_wait([this](error_code ec) {
    if (!ec) deadlines_.run_due();
  });
}

// What is held goes back, if that can be done at once.
void SharedState::leave() {
  leaving_ = true;
  news_.cancel();
  const bool connected = connected_.load(std::memory_order_relaxed);
  farewell_.expires_after(connected ? bounds::kLeasePatience : Duration::zero());
  farewell_.async_wait([this](error_code ec) {
    if (!ec) cut();
  });
}

// Whatever is waited for ends soon.
void SharedState::cut() {
  cut_ = true;
  pause_.cancel();
  if (session_) session_->close();
  news_.cancel();
}

void SharedState::use(SnapshotPtr snapshot) {
  latest_ = snapshot;
  if (thread_.joinable()) expect_leases(*latest_, clock_());
  asio::post(io_, [this, snapshot = std::move(snapshot)]() mutable {
    benches_.use(snapshot);
    ask_again_ = true;
    limits_.use(snapshot);
    affinities_.use(std::move(snapshot));
    news_.cancel();
  });
}

void SharedState::start() {
  expect_leases(*latest_, clock_());
  thread_ = std::thread([this] { run_thread(); });
}

// At most one handler is queued, however much happens: what changed is found by looking.
void SharedState::changed() {
  if (wake_pending_.exchange(true)) return;
  asio::post(io_, [this] { news_.cancel(); });
}

SharedStateCounts SharedState::counts() const {
  return {.connected = connected_.load(std::memory_order_relaxed),
          .errors = errors_.load(std::memory_order_relaxed),
          .published = published_.load(std::memory_order_relaxed),
          .received = received_.load(std::memory_order_relaxed)};
}

void SharedState::run_thread() {
  spawn(run(), [this](std::exception_ptr) { io_.stop(); });
  run_event_loop(io_);
}

Awaitable<void> SharedState::run() {
  Duration pause = bounds::kRedisBackoffBase;
  for (;;) {
    joined_ = false;
    refusal_told_ = false;
    Problem problem;
    try {
      problem = co_await session();
    } catch (const std::exception& error) {  // a CA file that cannot be read
      problem = error.what();
    }
    session_.reset();
    if (leaving_ || cut_) break;
    lost(problem);
    if (joined_) pause = bounds::kRedisBackoffBase;
    pause_.expires_after(jittered(pause, random_));
    pause = std::min(pause * 2, bounds::kRedisBackoffCap);
    error_code ec;
    co_await pause_.async_wait(to(ec));
    if (cut_) break;
  }
}

Awaitable<SharedState::Problem> SharedState::session() {
  const RedisConnection::Means means{io_, deadlines_, resolver_, tls_, clock_};
  session_.emplace(means);
  Problem problem = co_await join(session_->talker, session_->listener);
  if (!problem.empty()) co_return problem;
  connected();
  // Whichever ends first ends the other.
  std::optional<Problem> heard;
  std::exception_ptr error;
  Timer listening(io_, TimePoint::max());
  spawn(listen_for(heard), [this, &heard, &listening](std::exception_ptr) {
    if (!heard) heard = "listening to it failed";
    session_->close();
    news_.cancel();
    listening.cancel();
  });
  try {
    problem = co_await talk(session_->talker, session_->listener);
  } catch (...) {
    error = std::current_exception();
  }
  const bool heard_first = heard.has_value();
  session_->close();
  error_code ec;
  while (!heard) co_await listening.async_wait(to(ec));
  if (error) std::rethrow_exception(error);
  co_return heard_first || problem.empty() ? *heard : problem;
}

Awaitable<void> SharedState::listen_for(std::optional<Problem>& problem) {
  problem = co_await listen(session_->listener);
}

// Listens before it asks, so that nothing falls in between.
Awaitable<SharedState::Problem> SharedState::join(RedisConnection& talker,
                                                  RedisConnection& listener) {
  auto opened = co_await listener.open(settings_);
  if (opened) opened = co_await talker.open(settings_);
  if (!opened) co_return opened.error();
  std::string subscribe;
  for (const auto& channel : {benches_.channel(), limits_.channel(), affinities_.channel()})
    subscribe += redis_command({"SUBSCRIBE", channel});
  const auto subscribed = co_await listener.ask(std::move(subscribe), 3);
  if (!subscribed) co_return subscribed.error();
  for (const RedisReply& reply : *subscribed) {
    if (reply.kind == RedisReply::Kind::error)
      co_return fmt::format("it refuses to be listened to: {}", redis_error_code(reply));
    if (reply.list.size() != 3) co_return "it does not speak Redis' protocol";
  }
  Commands questions = benches_.questions();
  co_return co_await carry(talker, std::move(questions));
}

Awaitable<SharedState::Problem> SharedState::talk(RedisConnection& talker,
                                                  RedisConnection& listener) {
  TimePoint heartbeat = clock_();
  const TimePoint settled = heartbeat + bounds::kRedisHeartbeat;
  for (;;) {
    if (leaving_) {
      Commands last = limits_.farewell(clock_());
      co_return co_await carry(talker, std::move(last));
    }
    const bool due = clock_() >= heartbeat;
    if (clock_() >= settled) outage_told_ = false;
    wake_pending_.store(false);
    Commands commands;
    if (std::exchange(ask_again_, false)) commands = benches_.questions();
    std::ranges::move(news(clock_()), std::back_inserter(commands));
    if (due) {
      heartbeat = clock_() + bounds::kRedisHeartbeat;
      std::ranges::move(benches_.reminders(clock_()), std::back_inserter(commands));
    }
    Problem problem = co_await carry(talker, std::move(commands));
    if (!problem.empty()) co_return problem;
    if (due) {
      std::string ping = redis_command({"PING"});
      const auto asked = co_await talker.ask(ping, 1);
      if (!asked) co_return asked.error();
      const auto sent = co_await listener.send(std::move(ping));
      if (!sent) co_return sent.error();
    }
    // A change meanwhile has been posted after the flag was taken back, and would be slept over.
    const TimePoint next = std::min(heartbeat, limits_.next(clock_()));
    if (!session_->open()) co_return Problem();
    const bool at_once = leaving_ || ask_again_ || wake_pending_.load();
    news_.expires_at(at_once ? clock_() : next);
    error_code ec;
    co_await news_.async_wait(to(ec));
    if (!session_->open()) co_return Problem();
  }
}

SharedState::Commands SharedState::news(TimePoint now) {
  Commands commands = benches_.news(now);
  std::ranges::move(affinities_.news(), std::back_inserter(commands));
  published_.fetch_add(commands.size(), std::memory_order_relaxed);
  std::ranges::move(limits_.statements(now), std::back_inserter(commands));
  return commands;
}

Awaitable<SharedState::Problem> SharedState::listen(RedisConnection& listener) {
  for (;;) {
    const auto reply = co_await listener.read(bounds::kRedisSilence);
    if (!reply) co_return reply.error();
    if (reply->kind != RedisReply::Kind::list) co_return "it does not speak Redis' protocol";
    hear(*reply);
  }
}

void SharedState::hear(const RedisReply& reply) {
  if (reply.list.size() != 3 || reply.list[0].text != "message") return;  // an answer to a PING
  received_.fetch_add(1, std::memory_order_relaxed);
  const std::string& channel = reply.list[1].text;
  const std::string& text = reply.list[2].text;
  const TimePoint now = clock_();
  const bool ours = channel == limits_.channel()       ? limits_.on_message(text, now)
                    : channel == affinities_.channel() ? affinities_.on_message(text, now)
                                                       : benches_.on_message(text, now);
  if (!ours) count_error();
  if (channel == limits_.channel()) news_.cancel();  // something may have been asked back
}

bool SharedState::understood(const SharedCommand& command, const RedisReply& reply) {
  switch (command.part) {
    case SharedCommand::Part::bench:
      return benches_.on_reply(command.deployment, reply, clock_());
    case SharedCommand::Part::limit: {
      const auto heard = limits_.on_reply(command.deployment, reply, clock_());
      note_pace(heard);
      return heard == SharedLimits::Heard::fine;
    }
    case SharedCommand::Part::affinity:
      return reply.kind == RedisReply::Kind::number;
  }
  return false;
}

void SharedState::note_pace(SharedLimits::Heard heard) {
  if (heard == SharedLimits::Heard::fine) slowness_told_ = false;
  if (heard != SharedLimits::Heard::late || std::exchange(slowness_told_, true)) return;
  log_warn(
      fmt::format("{} is slow: limits are this instance's own until it is quick again", address_));
}

// In batches, so that what waits for replies is bounded.
Awaitable<SharedState::Problem> SharedState::carry(RedisConnection& talker, Commands commands) {
  std::span<const SharedCommand> rest = commands;
  while (!rest.empty()) {
    const auto batch = rest.first(std::min(rest.size(), bounds::kRedisBatch));
    rest = rest.subspan(batch.size());
    std::string bytes;
    for (const auto& command : batch) bytes += command.bytes;
    const auto replies = co_await talker.ask(std::move(bytes), batch.size());
    if (!replies) co_return replies.error();
    for (std::size_t i = 0; i < batch.size(); ++i) {
      const RedisReply& reply = (*replies)[i];
      if (understood(batch[i], reply)) continue;
      count_error();
      if (refused(reply)) co_return fmt::format("it refuses commands: {}", redis_error_code(reply));
    }
  }
  co_return Problem();
}

// True if another connection may do better: this one's Redis is no longer, or not yet, the one that
// takes writes. Anything else would be refused again, and is told but once.
bool SharedState::refused(const RedisReply& reply) {
  if (reply.kind != RedisReply::Kind::error) return false;
  const std::string_view code = redis_error_code(reply);
  if (code == "READONLY" || code == "LOADING" || code == "MASTERDOWN" || code == "NOAUTH")
    return true;
  if (!std::exchange(refusal_told_, true))
    log_warn(fmt::format("{} refuses a command: {}", address_, code));
  return false;
}

void SharedState::connected() {
  joined_ = true;
  connected_.store(true, std::memory_order_relaxed);
  if (std::exchange(sharing_told_, true)) return;
  log_info(fmt::format("sharing cooldowns and limits with other instances through {}", address_));
}

void SharedState::lost(const Problem& problem) {
  connected_.store(false, std::memory_order_relaxed);
  limits_.lose();
  count_error();
  if (std::exchange(outage_told_, true)) return;
  sharing_told_ = false;
  log_warn(fmt::format("{}: {}; until it is back, this instance goes by what it knows itself",
                       address_, problem));
}

}  // namespace spillway::server
