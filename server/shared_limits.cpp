#include "server/shared_limits.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>

#include "core/bounds.hpp"

namespace spillway::server {

namespace {

// A field is "1 <end of the lease> <requests held> <tokens held> <number of the statement>
// <time>:<requests>:<tokens> ...", in milliseconds of Redis' clock. What an instance held when it
// was last heard of counts, from the end of its lease on, as used then. Ends far ahead are those of
// a clock that was put back.
//
// A statement that was overtaken by a later one, on another connection, changes nothing.
//
// self, rpm, tpm, keep, need, want (of requests and tokens each), length of a lease, channel,
// message, number of the statement, what was used as <age>:<requests>:<tokens> ...
constexpr std::string_view kScript = R"(
local minute = 60000
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
if redis.call('HLEN', KEYS[1]) > 512 then return redis.error_reply('ERR too many instances') end
local length = tonumber(ARGV[10])
local used, held, leaving = {0, 0}, {0, 0}, {}
local function count(at, requests, tokens)
  at = math.min(at, now)
  if at + minute <= now then return end
  used[1], used[2] = used[1] + requests, used[2] + tokens
  leaving[#leaving + 1] = {requests, tokens, at + minute - now}
end
local fields = redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
  if fields[i] == ARGV[1] then
    local number = string.match(fields[i + 1], '^1 %d+ %d+ %d+ (%d+)')
    if tonumber(number or 0) >= tonumber(ARGV[13]) then return redis.error_reply('ERR late') end
  else
    local ends, requests, tokens, parts =
      string.match(fields[i + 1], '^1 (%d+) (%d+) (%d+) %d+(.*)$')
    ends = tonumber(ends or 0)
    if ends + minute <= now or ends > now + 2 * length then
      redis.call('HDEL', KEYS[1], fields[i])
    else
      if ends > now then
        held[1], held[2] = held[1] + requests, held[2] + tokens
      else
        count(ends, tonumber(requests), tonumber(tokens))
      end
      for at, r, t in string.gmatch(parts, ' (%d+):(%d+):(%d+)') do
        count(tonumber(at), tonumber(r), tonumber(t))
      end
    end
  end
end
local record = ''
for age, r, t in string.gmatch(ARGV[14], '(%d+):(%d+):(%d+)') do
  count(now - age, tonumber(r), tonumber(t))
  record = record .. string.format(' %.0f:%s:%s', now - age, r, t)
end
local granted, wait, wanting = {0, 0}, {1, 1}, false
for kind = 1, 2 do
  local limit, keep = tonumber(ARGV[1 + kind]), tonumber(ARGV[3 + kind])
  local need, want = tonumber(ARGV[5 + kind]), tonumber(ARGV[7 + kind])
  if limit >= 0 then
    local room = limit - used[kind] - held[kind] - keep
    granted[kind] = keep + math.max(0, math.min(want - keep, room))
    if held[kind] > 0 and (granted[kind] < need or room < 0) then
      wanting = true  -- somebody waits, or an answer used more than was set aside for it
    end
    if granted[kind] < want then
      table.sort(leaving, function(a, b) return a[3] < b[3] end)
      local over = used[kind] + held[kind] + granted[kind] - limit + 1
      wait[kind] = minute
      for _, part in ipairs(leaving) do
        over = over - part[kind]
        if over <= 0 then wait[kind] = part[3] break end
      end
    end
  end
end
local head = string.format('1 %.0f %.0f %.0f %s', now + length, granted[1], granted[2], ARGV[13])
redis.call('HSET', KEYS[1], ARGV[1], head .. record)
redis.call('PEXPIRE', KEYS[1], length + minute)
if wanting then redis.call('PUBLISH', ARGV[11], ARGV[12]) end
return {granted[1], granted[2], held[1], held[2], wait[1], wait[2]}
)";

std::string limit_text(const std::optional<std::uint64_t>& limit) {
  return limit ? std::to_string(std::min(*limit, bounds::kLeaseMost)) : "-1";
}

// Younger than it is at most by the rounding, so that nothing is forgotten early.
std::string parts_text(const std::vector<RateWindow::Spent>& used) {
  std::string out;
  for (const auto& [age, usage] : used) {
    fmt::format_to(std::back_inserter(out), "{}{}:{}:{}", out.empty() ? "" : " ",
                   std::chrono::floor<milliseconds>(age).count(), usage.requests, usage.tokens);
  }
  return out;
}

std::optional<LeaseAnswer> read_answer(const RedisReply& reply) {
  if (reply.kind != RedisReply::Kind::list || reply.list.size() != 6) return std::nullopt;
  constexpr auto kMost = static_cast<std::int64_t>(2 * bounds::kLeaseMost);
  for (const RedisReply& item : reply.list) {
    if (item.kind != RedisReply::Kind::number || item.number < 0 || item.number > kMost)
      return std::nullopt;
  }
  const auto at = [&](std::size_t i) { return reply.list[i].number; };
  const auto wait = [&](std::size_t i) {
    constexpr auto kLongest = std::chrono::duration_cast<milliseconds>(bounds::kRateWindow).count();
    return milliseconds(std::min<std::int64_t>(at(i), kLongest));
  };
  return LeaseAnswer{.granted = {at(0), at(1)},
                     .others = {at(2), at(3)},
                     .requests_in = wait(4),
                     .tokens_in = wait(5)};
}

bool is_limited(const CallLimits& limits) {
  return limits.rpm || limits.tpm;
}

}  // namespace

void expect_leases(const Snapshot& snapshot, TimePoint now) {
  for (std::uint32_t i = 0; i < snapshot.deployments.size(); ++i) {
    if (!is_limited(limits_of(snapshot.config, {i}))) continue;
    DeploymentState& state = *snapshot.deployments[i];
    const std::lock_guard lock(state.guard);
    state.live.lease().expect(now);
  }
}

SharedLimits::SharedLimits(std::uint64_t self, unsigned database)
    : self_(self), channel_(fmt::format("spillway:limits:{}", database)) {}

void SharedLimits::use(SnapshotPtr snapshot) {
  snapshot_ = std::move(snapshot);
  shared_.clear();
  by_id_.clear();
  const Config& config = snapshot_->config;
  for (std::uint32_t i = 0; i < config.deployments.size(); ++i) {
    if (!config.deployments[i].usable() || !is_limited(limits_of(config, {i}))) continue;
    by_id_.emplace(config.deployments[i].id, shared_.size());
    shared_.push_back({.deployment = {i}});
  }
}

DeploymentState& SharedLimits::state_of(const Shared& shared) const {
  return *snapshot_->deployments[shared.deployment.value];
}

const SharedLimits::Shared* SharedLimits::find(const std::string& id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &shared_[found->second];
}

std::vector<SharedCommand> SharedLimits::statements(TimePoint now) {
  std::vector<SharedCommand> out;
  for (Shared& shared : shared_) {
    const TimePoint stated = shared.stated_at;
    const bool renewal = stated == TimePoint{} || now >= stated + bounds::kLeaseRenewal;
    if (!renewal && now < stated + bounds::kLeasePause) continue;
    if (!state_of(shared).lease_changed.exchange(false) && !renewal) continue;
    out.push_back(command(shared, now));
  }
  return out;
}

std::vector<SharedCommand> SharedLimits::farewell(TimePoint now) {
  std::vector<SharedCommand> out;
  for (Shared& shared : shared_) {
    DeploymentState& state = state_of(shared);
    {
      const std::lock_guard lock(state.guard);
      state.live.lease().give_up();
    }
    out.push_back(command(shared, now));
  }
  return out;
}

TimePoint SharedLimits::next(TimePoint now) const {
  TimePoint soonest = TimePoint::max();
  for (const Shared& shared : shared_) {
    const bool changed = state_of(shared).lease_changed.load();
    const Duration pause = changed ? bounds::kLeasePause : bounds::kLeaseRenewal;
    soonest = std::min(soonest, shared.stated_at == TimePoint{} ? now : shared.stated_at + pause);
  }
  return soonest;
}

void SharedLimits::lose() {
  for (Shared& shared : shared_) {
    shared.stated_at = {};
    DeploymentState& state = state_of(shared);
    const std::lock_guard lock(state.guard);
    state.live.lease().lose();
  }
}

SharedCommand SharedLimits::command(Shared& shared, TimePoint now) {
  shared.stated_at = now;
  const std::string& id = snapshot_->config.at(shared.deployment).id;
  const CallLimits limits = limits_of(snapshot_->config, shared.deployment);
  DeploymentState& state = state_of(shared);
  std::unique_lock lock(state.guard);
  const LeaseStatement said = state.live.lease_statement(limits, now);
  lock.unlock();
  const std::string self = fmt::format("{:016x}", self_);
  const auto text = [](std::int64_t amount) { return std::to_string(amount); };
  const auto length = std::chrono::duration_cast<milliseconds>(bounds::kLeaseLength).count();
  std::string bytes =
      redis_command({"EVAL", kScript, "1", "spillway:limits:" + id, self, limit_text(limits.rpm),
                     limit_text(limits.tpm), text(said.keep.requests), text(said.keep.tokens),
                     text(said.need.requests), text(said.need.tokens), text(said.want.requests),
                     text(said.want.tokens), text(length), channel_, self + " " + id,
                     std::to_string(++statements_), parts_text(said.used)});
  return {SharedCommand::Part::limit, id, std::move(bytes)};
}

SharedLimits::Heard SharedLimits::on_reply(const std::string& deployment, const RedisReply& reply,
                                           TimePoint now) {
  const Shared* shared = find(deployment);
  if (!shared) return Heard::fine;  // it went with a reload
  const auto answer = read_answer(reply);
  const CallLimits limits = limits_of(snapshot_->config, shared->deployment);
  DeploymentState& state = state_of(*shared);
  const std::lock_guard lock(state.guard);
  if (answer) {
    if (state.live.lease().answered(*answer, limits, now)) return Heard::fine;
    state.lease_changed.store(true);  // asked again at once: it may have been a hiccup
    return Heard::late;
  }
  state.live.lease().lose();
  return Heard::useless;
}

bool SharedLimits::on_message(std::string_view text, TimePoint now) {
  std::uint64_t asker = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), asker, 16);
  const auto used = static_cast<std::size_t>(end - text.data());
  if (error != std::errc{} || used + 1 >= text.size() || *end != ' ') return false;
  if (asker == self_) return true;
  const Shared* shared = find(std::string(text.substr(used + 1)));
  if (!shared) return true;
  DeploymentState& state = state_of(*shared);
  const std::lock_guard lock(state.guard);
  const auto yields = asker < self_ ? LimitLease::Yields::yes : LimitLease::Yields::no;
  if (state.live.lease().recall(yields, now)) state.lease_changed.store(true);
  return true;
}

}  // namespace spillway::server
