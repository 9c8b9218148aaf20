// Keeps requests that belong together with one deployment, so that the provider's prompt cache is
// hit: those of one session, of one client key, or with the same long beginning.
//
// A table of bounded size and a time to live, keyed by group and a hash of what is shared. Affinity
// is a preference and no promise: a deployment that cannot take the request is passed by, whoever
// answers instead is remembered, and an entry that had to make room costs one cache miss. Not
// thread-safe; the server guards it with a lock of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "core/body.hpp"
#include "core/config.hpp"
#include "core/outcome.hpp"
#include "core/time.hpp"

namespace spillway {

class AffinityTable {
 public:
  // `seed` is a secret of the process: whoever chooses sessions cannot choose where in the table
  // they lie, and make looking them up slow. The keys themselves are the same everywhere.
  explicit AffinityTable(std::uint64_t seed) : by_key_(0, SeededHash{seed}) {}

  // The deployment's id, unless the entry is older than its time to live.
  std::optional<std::string> find(std::uint64_t key, TimePoint now);
  // `ttl` counts from now on, whatever was left. True if other instances should be told: they know
  // of another deployment, of none, or of an end that is much sooner.
  bool remember(std::uint64_t key, std::string_view deployment_id, Duration ttl, TimePoint now);
  // What another instance remembers.
  void learn(std::uint64_t key, std::string_view deployment_id, Duration ttl, TimePoint now);
  std::size_t size() const { return entries_.size(); }
  // How many entries a look-up passes at worst.
  std::size_t longest_bucket() const;

 private:
  struct Entry {
    std::uint64_t key;
    std::string deployment_id;
    TimePoint until;
    TimePoint told_until{};  // what all instances know
  };
  using Entries = std::list<Entry>;
  struct SeededHash {
    std::uint64_t seed;
    std::size_t operator()(std::uint64_t key) const;
  };

  Entry& entry(std::uint64_t key);

  Entries entries_;  // latest first
  std::unordered_map<std::uint64_t, Entries::iterator, SeededHash> by_key_;
};

// What a request shares with those it belongs with: its session id (x-litellm-session-id,
// x-litellm-trace-id, litellm_session_id, litellm_trace_id), else the client's key, else a long
// beginning of its messages, each where `rules` want it. nullopt: nothing.
std::optional<std::uint64_t> affinity_of(const AffinityRules& rules, std::string_view body,
                                         const BodyView& view, Headers headers,
                                         std::string_view client_key);

// The table's key for an affinity within one group.
std::uint64_t affinity_key(std::string_view group, std::uint64_t affinity);

}  // namespace spillway
