// What one deployment was asked for in the last minute: requests and tokens, for limits that must
// be exact.
//
// Calls within a second of each other share a bucket that leaves with the latest of them. So
// nothing is forgotten early: in no minute, wherever it begins, is more let through than the limit.
// What is forgotten late is at most a second late, and nothing is remembered for over a minute
// since the bucket's last call.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/time.hpp"

namespace spillway {

class RateWindow {
 public:
  struct Usage {
    std::uint64_t requests = 0;
    std::uint64_t tokens = 0;
    bool operator==(const Usage&) const = default;
  };

  // What calls close to each other used, and how long the latest of them is past.
  struct Spent {
    Duration age{};
    Usage usage;
    bool operator==(const Spent&) const = default;
  };

  void add(const Usage& usage, TimePoint now);
  Usage used(TimePoint now);
  // The same in parts, oldest first.
  std::vector<Spent> spent(TimePoint now);

  // When fewer than `limit` requests, or tokens, are left in the window: now, or later. A limit of
  // 0 is never met: a whole window from now.
  TimePoint requests_below(std::uint64_t limit, TimePoint now);
  TimePoint tokens_below(std::uint64_t limit, TimePoint now);

  // Where its parts begin, behind all else: for who fetches what add() looks at first.
  const void* parts() const { return buckets_.data(); }

 private:
  struct Bucket {
    TimePoint first{};
    TimePoint latest{};
    Usage usage;
  };
  // One for every second of the window, the one that is leaving and the one that begins.
  static constexpr std::size_t kBuckets = 62;

  void forget(TimePoint now);
  Bucket& at(std::size_t position) { return buckets_[(oldest_ + position) % kBuckets]; }
  TimePoint below(std::uint64_t Usage::*kind, std::uint64_t limit, TimePoint now);

  std::size_t oldest_ = 0;
  std::size_t count_ = 0;
  Usage total_;
  std::array<Bucket, kBuckets> buckets_{};
};

}  // namespace spillway
