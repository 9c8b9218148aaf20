#include "server/shared_benches.hpp"

#include <fmt/format.h>

#include "core/bounds.hpp"

namespace spillway::server {

namespace {

// Of every script: what is held under the key, and for how many milliseconds more. `known` is the
// id of the bench, and nil for anything that is none.
constexpr std::string_view kLook = R"(
local left, held = 0, ''
if redis.call('TYPE', KEYS[1]).ok == 'string' and redis.call('STRLEN', KEYS[1]) <= 256 then
  left, held = redis.call('PTTL', KEYS[1]), redis.call('GET', KEYS[1])
end
local known = left > 0 and string.match(held, '^1 (%x+%-%d+) ') or nil
)";

constexpr std::string_view kTell = R"(
if known then return {left, held} end
return {0, ''}
)";

// id, milliseconds, record, channel, message
constexpr std::string_view kBench = R"(
if known and (known == ARGV[1] or left >= tonumber(ARGV[2])) then return {left, held} end
redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[2])
redis.call('PUBLISH', ARGV[4], ARGV[5])
return {0, ''}
)";

// id, channel, message
constexpr std::string_view kClose = R"(
if known and known ~= ARGV[1] then return {left, held} end
redis.call('DEL', KEYS[1])
redis.call('PUBLISH', ARGV[2], ARGV[3])
return {0, ''}
)";

std::string script(std::string_view rest) {
  return std::string(kLook) + std::string(rest);
}

const std::string kTellScript = script(kTell);
const std::string kBenchScript = script(kBench);
const std::string kCloseScript = script(kClose);

}  // namespace

SharedBenches::SharedBenches(std::uint64_t self, unsigned database, Random random)
    : self_(self), channel_(fmt::format("spillway:benches:{}", database)), random_(random) {}

void SharedBenches::use(SnapshotPtr snapshot) {
  snapshot_ = std::move(snapshot);
  by_id_.clear();
  const auto& deployments = snapshot_->config.deployments;
  for (std::uint32_t i = 0; i < deployments.size(); ++i)
    by_id_.emplace(deployments[i].id, DeploymentIndex{i});
  announced_.assign(deployments.size(), Announced{});
}

bool SharedBenches::may_be_benched(DeploymentIndex deployment) const {
  const Config& config = snapshot_->config;
  const Deployment& about = config.at(deployment);
  return about.usable() && !never_benches(about.cooldown) &&
         benching(config.at(about.group)) == Benching::allowed;
}

std::optional<DeploymentIndex> SharedBenches::find(const std::string& id) const {
  const auto found = by_id_.find(id);
  if (found == by_id_.end() || !may_be_benched(found->second)) return std::nullopt;
  return found->second;
}

const std::string& SharedBenches::id_of(DeploymentIndex deployment) const {
  return snapshot_->config.at(deployment).id;
}

std::string SharedBenches::key(DeploymentIndex deployment) const {
  return "spillway:bench:" + id_of(deployment);
}

BenchId SharedBenches::to_outside(BenchId id) const {
  return {id.instance == 0 ? self_ : id.instance, id.number};
}

BenchId SharedBenches::to_inside(BenchId id) const {
  return {id.instance == self_ ? 0 : id.instance, id.number};
}

BenchView SharedBenches::view(DeploymentIndex deployment, TimePoint now) const {
  DeploymentState& state = *snapshot_->deployments[deployment.value];
  const std::lock_guard lock(state.guard);
  return state.live.bench_view(now);
}

std::vector<SharedBenches::Command> SharedBenches::questions() {
  std::vector<Command> out;
  for (std::uint32_t i = 0; i < announced_.size(); ++i) {
    const DeploymentIndex deployment{i};
    announced_[i] = {};
    snapshot_->deployments[i]->bench_changed.store(true);
    if (!may_be_benched(deployment)) continue;
    out.push_back({SharedCommand::Part::bench, id_of(deployment),
                   redis_command({"EVAL", kTellScript, "1", key(deployment)})});
  }
  return out;
}

std::vector<SharedBenches::Command> SharedBenches::news(TimePoint now) {
  std::vector<Command> out;
  for (std::uint32_t i = 0; i < announced_.size(); ++i) {
    if (!snapshot_->deployments[i]->bench_changed.exchange(false)) continue;
    for (const auto& said : announcements(view({i}, now), announced_[i])) say(out, {i}, said);
  }
  return out;
}

std::vector<SharedBenches::Command> SharedBenches::reminders(TimePoint now) {
  std::vector<Command> out;
  for (std::uint32_t i = 0; i < announced_.size(); ++i) {
    const BenchView held = view({i}, now);
    if (held.bench && held.bench->remaining >= milliseconds(1))
      say(out, {i}, {BenchNews::benched, *held.bench});
  }
  return out;
}

void SharedBenches::say(std::vector<Command>& out, DeploymentIndex deployment,
                        Announcement announcement) {
  Bench& bench = announcement.bench;
  bench.id = to_outside(bench.id);
  const std::string id = bench_id_text(bench.id);
  const BenchMessage told{self_, announcement, id_of(deployment)};
  const std::string message = to_string(told);
  const auto length =
      std::to_string(std::chrono::duration_cast<milliseconds>(bench.remaining).count());
  std::string bytes;
  switch (announcement.news) {
    case BenchNews::benched:
      bytes = redis_command({"EVAL", kBenchScript, "1", key(deployment), id, length,
                             bench_record(bench), channel_, message});
      break;
    case BenchNews::closed:
      bytes = redis_command({"EVAL", kCloseScript, "1", key(deployment), id, channel_, message});
      break;
    case BenchNews::probing:
    case BenchNews::released:
      bytes = redis_command({"PUBLISH", channel_, message});
      break;
  }
  out.push_back({SharedCommand::Part::bench, id_of(deployment), std::move(bytes)});
}

bool SharedBenches::on_reply(const std::string& deployment, const RedisReply& reply,
                             TimePoint now) {
  if (reply.kind == RedisReply::Kind::number) return true;  // of PUBLISH
  const auto& list = reply.list;
  if (list.size() != 2 || list[0].kind != RedisReply::Kind::number ||
      list[1].kind != RedisReply::Kind::text)
    return false;
  if (list[0].number <= 0) return true;  // nothing there that we do not know
  auto bench = parse_bench_record(list[1].text);
  if (!bench) return false;
  bench->remaining =
      std::min(Duration(milliseconds(std::min<std::int64_t>(list[0].number, INT32_MAX))),
               bounds::kSharedBenchCap);
  if (const auto index = find(deployment)) adopt(*index, *bench, now);
  return true;
}

bool SharedBenches::on_message(std::string_view text, TimePoint now) {
  const auto message = parse_bench_message(text);
  if (!message) return false;
  const auto found = find(message->deployment);
  if (!found) return true;
  const DeploymentIndex deployment = *found;
  const auto& [news, bench] = message->announcement;
  const BenchId id = to_inside(bench.id);
  DeploymentState& state = *snapshot_->deployments[deployment.value];
  switch (news) {
    case BenchNews::benched:
      adopt(deployment, bench, now);
      break;
    case BenchNews::closed: {
      const std::lock_guard lock(state.guard);
      if (state.live.close(id, now)) announced_[deployment.value].closed = id;
      break;
    }
    case BenchNews::probing:
    case BenchNews::released: {
      if (message->sender == self_) break;  // our own probe comes back to us
      const bool begins = news == BenchNews::probing;
      const std::lock_guard lock(state.guard);
      state.live.probed_elsewhere(id, begins ? now + bounds::kProbeLease : now);
      break;
    }
  }
  return true;
}

void SharedBenches::adopt(DeploymentIndex deployment, Bench bench, TimePoint now) {
  bench.id = to_inside(bench.id);
  DeploymentState& state = *snapshot_->deployments[deployment.value];
  const std::lock_guard lock(state.guard);
  // What came from outside is not news for the outside.
  if (state.live.adopt(bench, random_, now)) announced_[deployment.value].bench = bench.id;
}

}  // namespace spillway::server
