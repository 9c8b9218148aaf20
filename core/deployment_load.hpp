// How busy and how quick one deployment is: what the routing strategies compare, and what rpm, tpm
// and max_parallel_requests are held against. It measures; core/strategy.hpp judges.
//
// Not thread-safe; the server guards each one with its own short lock.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/bounds.hpp"
#include "core/call_limits.hpp"
#include "core/limit_lease.hpp"
#include "core/prefetch.hpp"
#include "core/rate_limit_headers.hpp"
#include "core/rate_window.hpp"
#include "core/time.hpp"

namespace spillway {

// Whether a time was measured to the first token of a stream or to a whole answer: the two are not
// comparable.
enum class Delivery : std::uint8_t { streamed, whole };

// What of a load a strategy compares, the less the better.
enum class Figure : std::uint8_t {
  in_flight,  // least-busy
  tokens,     // usage-based-routing-v2
  mean,       // latency-based-routing, in seconds; unknown: 0, to be known
};

// A deployment at an instant, as a strategy sees it.
struct Load {
  unsigned in_flight = 0;
  // Of times to the first token, or to the whole answer: the highest of late, fading while nothing
  // new is measured. nullopt: nothing was ever measured.
  std::optional<Duration> peak;
  // Their mean over the last few. nullopt: nothing was measured within the time to live.
  std::optional<Duration> mean;
  double error_rate = 0.0;     // of the latest calls, in [0, 1); fading while there are none
  std::uint64_t requests = 0;  // begun in the last minute
  std::uint64_t tokens = 0;    // used in the last minute, or expected of calls in flight
  double headroom = 1.0;       // share of the scarcest rate limit that is left, in [0, 1]
  std::optional<TimePoint> recovered_at;  // from its last bench
  bool limits_shared = false;             // with other instances, at the moment
};

class DeploymentLoad {
 public:
  // What a choice and its call look at.
  void prefetch() const {
    spillway::prefetch(&lease_, &lease_ + 1);
    spillway::prefetch(&quotas_, window_.parts());
  }

  // Room for one more call, which will set `tokens` aside if that is known.
  Room room(const CallLimits& limits, unsigned in_flight, TimePoint now,
            std::optional<std::uint64_t> tokens = std::nullopt, Looking looking = Looking::to_call);

  // A call begins, and ends. `tokens` are set aside for it in between.
  void begin(std::uint64_t tokens, const CallLimits& limits, TimePoint now);
  void end(std::uint64_t tokens);

  // It began to answer after that time; it took at least that long, and says no more than that.
  void note_answer(Delivery delivery, Duration time, TimePoint now);
  void note_time(Delivery delivery, Duration time, TimePoint now);
  void note_failure(TimePoint now) { errors_.note(1.0, now); }
  void note_tokens(std::uint64_t tokens, const CallLimits& limits, TimePoint now);
  void note_quotas(const Quotas& quotas, TimePoint now);
  void note_recovery(TimePoint now) { recovered_at_ = now; }

  // Of rpm and tpm, where they are shared with other instances.
  LimitLease& lease() { return lease_; }
  LeaseStatement lease_statement(const CallLimits& limits, TimePoint now) {
    return lease_.state(limits, window_, now);
  }

  // Everything but in_flight, which the deployment's health counts. `time_to_live`: of the times
  // that the mean is made of.
  Load load(Delivery delivery, const CallLimits& limits, Duration time_to_live, TimePoint now);
  // Of it what alone is asked for, and quicker found than all.
  std::uint64_t tokens(TimePoint now) { return window_.used(now).tokens + expected_; }
  std::optional<Duration> mean(Delivery delivery, Duration time_to_live, TimePoint now) const {
    return times_[static_cast<std::size_t>(delivery)].last.mean(time_to_live, now);
  }
  // Within what 95 of 100 of the latest times lie; nullopt: fewer than kQuantileLeast are known.
  std::optional<Duration> p95_time(Delivery delivery) const;

 private:
  // Rises at once and falls slowly: a deployment that became slow is left alone before it has
  // collected many requests, and looked at again after a while.
  class Peak {
   public:
    void note(Duration time, TimePoint now);
    std::optional<Duration> at(TimePoint now) const;

   private:
    std::optional<Duration> value_;
    TimePoint noted_at_{};
  };

  class LastTimes {
   public:
    void note(Duration time, TimePoint now);
    // Of the last kLatencySamples.
    std::optional<Duration> mean(Duration time_to_live, TimePoint now) const;
    std::optional<Duration> p95() const;

   private:
    struct Sample {
      Duration time{};
      TimePoint at{};
    };
    std::vector<Sample> samples_;  // a ring once it has kQuantileSamples
    std::size_t next_ = 0;
  };

  // Each call that begins to answer, or fails instead, counts as much as all before it: a
  // deployment that went down is spared from its first failure on, and trusted again after a few
  // answers. How streams end that began long before says nothing about it.
  class Errors {
   public:
    void note(double failed, TimePoint now);  // 1: it failed, 0: it did not
    double at(TimePoint now) const;

   private:
    double rate_ = 0.0;
    TimePoint noted_at_{};
  };

  struct Times {
    Peak peak;
    LastTimes last;
  };

  double headroom(const CallLimits& limits, TimePoint now);

  // What every choice looks at comes first, what every call changes when it begins comes last, and
  // behind it the window's many parts.
  LimitLease lease_;
  std::array<Times, 2> times_;  // by Delivery
  Errors errors_;
  std::optional<TimePoint> recovered_at_;
  TimePoint quotas_at_{};
  Quotas quotas_;
  std::uint64_t expected_ = 0;  // tokens of calls in flight
  RateWindow window_;
};

}  // namespace spillway
