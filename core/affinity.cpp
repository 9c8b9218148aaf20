#include "core/affinity.hpp"

#include <algorithm>

#include "core/bounds.hpp"
#include "core/fnv.hpp"
#include "core/json_scan.hpp"

namespace spillway {

namespace {

// Equal texts of different kinds are different affinities.
std::uint64_t hash_of(std::string_view kind, std::string_view text) {
  return fnv::hash(text, fnv::hash(kind) * fnv::kPrime);
}

std::string_view value_of(std::string_view body, const BodyMember& member) {
  return body.substr(member.value_begin, member.value_end - member.value_begin);
}

std::optional<std::string> session_of(std::string_view body, const BodyView& view,
                                      Headers headers) {
  for (const std::string_view key : {"litellm_session_id", "litellm_trace_id"}) {
    const BodyMember* member = view.find(key);
    if (member == nullptr || member->type != JsonType::string) continue;
    auto session = unescape(value_of(body, *member));
    if (session && !session->empty()) return session;
  }
  for (const std::string_view name : {"x-litellm-session-id", "x-litellm-trace-id"}) {
    const auto session = find_header(headers, name);
    if (session && !session->empty()) return std::string(*session);
  }
  return std::nullopt;
}

}  // namespace

// The finalizer of splitmix64: every bit of key and seed tells on every bit of the result.
std::size_t AffinityTable::SeededHash::operator()(std::uint64_t key) const {
  std::uint64_t mixed = key ^ seed;
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
  return mixed ^ (mixed >> 31);
}

std::optional<std::string> AffinityTable::find(std::uint64_t key, TimePoint now) {
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return std::nullopt;
  if (now < found->second->until) return found->second->deployment_id;
  entries_.erase(found->second);
  by_key_.erase(found);
  return std::nullopt;
}

// The latest from now on; the oldest one makes room for a new one.
AffinityTable::Entry& AffinityTable::entry(std::uint64_t key) {
  if (const auto found = by_key_.find(key); found != by_key_.end()) {
    entries_.splice(entries_.begin(), entries_, found->second);
    return entries_.front();
  }
  if (entries_.size() >= bounds::kAffinityEntries) {
    by_key_.erase(entries_.back().key);
    entries_.pop_back();
  }
  entries_.push_front({.key = key, .deployment_id = {}, .until = {}});
  by_key_.emplace(key, entries_.begin());
  return entries_.front();
}

bool AffinityTable::remember(std::uint64_t key, std::string_view deployment_id, Duration ttl,
                             TimePoint now) {
  Entry& held = entry(key);
  const bool news = held.deployment_id != deployment_id || held.told_until < now + ttl / 2;
  held.deployment_id = deployment_id;
  held.until = now + ttl;
  if (news) held.told_until = held.until;
  return news;
}

void AffinityTable::learn(std::uint64_t key, std::string_view deployment_id, Duration ttl,
                          TimePoint now) {
  Entry& held = entry(key);
  held.deployment_id = deployment_id;
  held.until = held.told_until = now + ttl;
}

std::size_t AffinityTable::longest_bucket() const {
  std::size_t longest = 0;
  for (std::size_t i = 0; i < by_key_.bucket_count(); ++i)
    longest = std::max(longest, by_key_.bucket_size(i));
  return longest;
}

std::optional<std::uint64_t> affinity_of(const AffinityRules& rules, std::string_view body,
                                         const BodyView& view, Headers headers,
                                         std::string_view client_key) {
  if (rules.session) {
    if (const auto session = session_of(body, view, headers)) return hash_of("session", *session);
  }
  if (rules.client_key && !client_key.empty()) return hash_of("key", client_key);
  if (!rules.prompt_prefix) return std::nullopt;
  const BodyMember* messages = view.find("messages");
  if (messages == nullptr) return std::nullopt;
  const std::string_view text = value_of(body, *messages);
  if (text.size() < bounds::kAffinityPrefixBytes) return std::nullopt;
  return hash_of("prefix", text.substr(0, bounds::kAffinityPrefixBytes));
}

std::uint64_t affinity_key(std::string_view group, std::uint64_t affinity) {
  return fnv::hash(group) * fnv::kPrime ^ affinity;
}

}  // namespace spillway
