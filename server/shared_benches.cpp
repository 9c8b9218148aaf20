#include "server/shared_benches.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/bounds.hpp"

namespace spillway::server {

namespace {

// Of every script: what is held under the key, and for how many milliseconds more; not positive if
// it is over and waits for its probe, for which the key outlives it by `memory`. `known` is the id
// of the bench, and nil for anything that is none. The second key is the bench whose probe is out.
constexpr std::string_view kLook = R"(
local left, held, known = 0, '', nil
if redis.call('TYPE', KEYS[1]).ok == 'string' and redis.call('STRLEN', KEYS[1]) <= 256 then
  local life = redis.call('PTTL', KEYS[1])
  left, held = life - memory, redis.call('GET', KEYS[1])
  known = life > 0 and string.match(held, '^1 (%x+%-%d+) ') or nil
end
)";

constexpr std::string_view kTell = R"(
if not known then return {0, '', 0} end
local probed = redis.call('TYPE', KEYS[2]).ok == 'string' and redis.call('GET', KEYS[2]) == known
return {left, held, probed and redis.call('PTTL', KEYS[2]) or 0}
)";

// id, milliseconds (0: over, to be kept in mind), record, channel, message
constexpr std::string_view kBench = R"(
local length = tonumber(ARGV[2])
if known and known == ARGV[1] and left > 0 then return {left, held, 0} end
if known and known ~= ARGV[1] and (left >= length or length == 0) then return {left, held, 0} end
redis.call('SET', KEYS[1], ARGV[3], 'PX', length + memory)
if length > 0 then
  redis.call('DEL', KEYS[2])
  redis.call('PUBLISH', ARGV[4], ARGV[5])
end
return {0, '', 0}
)";

// id, channel, message
constexpr std::string_view kClose = R"(
if known and known ~= ARGV[1] then return {left, held, 0} end
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('PUBLISH', ARGV[2], ARGV[3])
return {0, '', 0}
)";

// id, milliseconds (0: it ended without an outcome), channel, message
constexpr std::string_view kProbe = R"(
if tonumber(ARGV[2]) > 0 then
  redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
else
  redis.call('DEL', KEYS[2])
end
redis.call('PUBLISH', ARGV[3], ARGV[4])
return {0, '', 0}
)";

std::string milliseconds_text(Duration length) {
  return std::to_string(std::chrono::duration_cast<milliseconds>(length).count());
}

Duration bounded(std::int64_t count, Duration most) {
  const auto clamped = std::clamp<std::int64_t>(count, -INT32_MAX, INT32_MAX);
  return std::clamp<Duration>(milliseconds(clamped), -most, most);
}

std::string script(std::string_view rest) {
  return "local memory = " + milliseconds_text(bounds::kHalfOpenMemory) + "\n" +
         std::string(kLook) + std::string(rest);
}

const std::string kTellScript = script(kTell);
const std::string kBenchScript = script(kBench);
const std::string kCloseScript = script(kClose);
const std::string kProbeScript = script(kProbe);

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

std::string SharedBenches::probe_key(DeploymentIndex deployment) const {
  return "spillway:probe:" + id_of(deployment);
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
    out.push_back(
        {SharedCommand::Part::bench, id_of(deployment),
         redis_command({"EVAL", kTellScript, "2", key(deployment), probe_key(deployment)})});
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
    if (held.bench) say(out, {i}, {BenchNews::benched, *held.bench});
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
  const std::string first = key(deployment);
  const std::string second = probe_key(deployment);
  std::string bytes;
  switch (announcement.news) {
    case BenchNews::benched: {
      const auto length = milliseconds_text(std::max(bench.remaining, Duration::zero()));
      bytes = redis_command({"EVAL", kBenchScript, "2", first, second, id, length,
                             bench_record(bench), channel_, message});
      break;
    }
    case BenchNews::closed:
      bytes = redis_command({"EVAL", kCloseScript, "2", first, second, id, channel_, message});
      break;
    case BenchNews::probing:
    case BenchNews::released: {
      const bool begins = announcement.news == BenchNews::probing;
      const auto length = milliseconds_text(begins ? bounds::kProbeLease : Duration::zero());
      bytes =
          redis_command({"EVAL", kProbeScript, "2", first, second, id, length, channel_, message});
      break;
    }
  }
  out.push_back({SharedCommand::Part::bench, id_of(deployment), std::move(bytes)});
}

bool SharedBenches::on_reply(const std::string& deployment, const RedisReply& reply,
                             TimePoint now) {
  const auto& list = reply.list;
  if (list.size() != 3 || list[0].kind != RedisReply::Kind::number ||
      list[1].kind != RedisReply::Kind::text || list[2].kind != RedisReply::Kind::number)
    return false;
  if (list[1].text.empty()) return true;  // nothing there that we do not know
  auto bench = parse_bench_record(list[1].text);
  if (!bench) return false;
  bench->remaining = bounded(list[0].number, bounds::kSharedBenchCap);
  const auto index = find(deployment);
  if (!index) return true;
  adopt(*index, *bench, now);
  const Duration probed = bounded(list[2].number, bounds::kProbeLease);
  if (probed <= Duration::zero()) return true;
  DeploymentState& state = *snapshot_->deployments[index->value];
  const std::lock_guard lock(state.guard);
  state.live.probed_elsewhere(to_inside(bench->id), now + probed);
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
