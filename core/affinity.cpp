#include "core/affinity.hpp"

#include "core/bounds.hpp"
#include "core/json_scan.hpp"

namespace spillway {

namespace {

// FNV-1a, 64 bits: it tells sessions apart, it does not protect.
constexpr std::uint64_t kOffset = 0xcbf29ce484222325;
constexpr std::uint64_t kPrime = 0x100000001b3;

std::uint64_t hash(std::string_view text, std::uint64_t from = kOffset) {
  for (const char c : text) from = (from ^ static_cast<unsigned char>(c)) * kPrime;
  return from;
}

// Equal texts of different kinds are different affinities.
std::uint64_t hash_of(std::string_view kind, std::string_view text) {
  return hash(text, hash(kind) * kPrime);
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
  return hash(group) * kPrime ^ affinity;
}

}  // namespace spillway
