// One instance's lease of a deployment's rpm and tpm: what it may begin without asking anybody.
//
// The window itself is kept for all instances in one place, the ledger (in production a Redis;
// server/shared_limits.hpp carries the words). An instance states what it used within the last
// minute, what it holds and what it would like to hold; the ledger grants so much that what all
// used and hold together never exceeds the limit. Requests spend what is held, here and at once.
//
// An instance holds a little ahead of its need. Whoever waits for what another holds has it asked
// back (recall()). A lease is renewed or ends: what an instance held that was never heard of again
// counts as used.
//
// No request waits for a ledger that is slow: whatever is not answered within
// bounds::kLeasePatience ends the lease's rule, and until an answer comes in time the instance goes
// by its own window (docs/decisions/0006-leased-limits.md).
//
// Not thread-safe; part of a deployment's load.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/call_limits.hpp"
#include "core/rate_window.hpp"
#include "core/time.hpp"

namespace spillway {

// Of requests and tokens; 0 where there is no limit.
struct LeaseAmounts {
  std::int64_t requests = 0;
  std::int64_t tokens = 0;
  bool operator==(const LeaseAmounts&) const = default;
};

struct LeaseStatement {
  LeaseAmounts keep;  // may be spent before the answer comes; granted in any case
  LeaseAmounts need;  // for the requests that wait; others are asked for it
  LeaseAmounts want;  // if it is free
  std::vector<RateWindow::Spent> used;
};

struct LeaseAnswer {
  LeaseAmounts
      granted;  // from the time of the statement on, what calls in flight set aside included
  LeaseAmounts others;  // hold this much
  // Until enough of the window is forgotten for one more.
  Duration requests_in{};
  Duration tokens_in{};
};

class LimitLease {
 public:
  // --- whoever talks to the ledger ---
  // From now on a lease is expected, and for a moment waited for.
  void expect(TimePoint now);
  // The ledger is away: this instance's own window rules.
  void lose();
  LeaseStatement state(const CallLimits& limits, RateWindow& window, TimePoint now);
  // Of the last statement. False: too late to be of use.
  bool answered(const LeaseAnswer& answer, const CallLimits& limits, TimePoint now);
  // An instance has requests waiting. Of two that both wait, one must give way to the other:
  // `yields` says whether it is this one. True if there is something to state.
  enum class Yields : std::uint8_t { no, yes };
  bool recall(Yields yields, TimePoint now);
  // This instance ends: everything goes back.
  void give_up();
  // True once after something happened that is to be stated soon.
  bool take_news();

  // --- requests ---
  // Whether the lease decides, or else the instance's own window.
  bool rules(TimePoint now) const;
  // Room for a call that sets `tokens` aside; nullopt: for one like those that wait. Where there is
  // none and somebody would call, more is asked for.
  Room room(const CallLimits& limits, std::optional<std::uint64_t> tokens, TimePoint now,
            Looking looking = Looking::to_call);
  void begin(std::uint64_t tokens, const CallLimits& limits);
  void end(std::uint64_t tokens);
  void use(std::uint64_t tokens, const CallLimits& limits);

 private:
  struct Account {
    std::int64_t granted = 0;
    std::int64_t spent = 0;         // ever
    std::int64_t granted_at = 0;    // `spent` when the grant was stated
    std::int64_t statement_at = 0;  // `spent` at the last statement
    std::int64_t held() const { return granted - (spent - granted_at); }
    void hold(std::int64_t amount) { granted = amount + (spent - granted_at); }
  };

  // Requests that found no room, as long as they keep coming back.
  struct Wish {
    TimePoint first{}, last{};
    std::int64_t tokens = 0;
    std::int64_t count = 0;
  };

  std::int64_t requests_left() const { return requests_.held(); }
  std::int64_t tokens_left() const { return tokens_.held() - set_aside_; }
  bool tokens_suffice(std::int64_t need) const;
  bool waited_for(TimePoint now) const;
  std::int64_t waiting_tokens(TimePoint now) const;
  void wish(std::int64_t tokens, TimePoint now);
  void hold_nothing();
  void note_low(const CallLimits& limits);
  TimePoint limit_end(const LeaseAnswer& answer, const CallLimits& limits, TimePoint now);

  bool expected_ = false;
  bool granted_ = false;  // or not yet answered for the first time
  TimePoint valid_until_{};
  std::optional<TimePoint> asked_at_;     // the oldest question without an answer
  std::optional<TimePoint> asked_since_;  // since the last statement
  TimePoint stated_at_{};
  TimePoint limited_until_{};
  TimePoint kept_until_{};  // against being asked back
  Account requests_, tokens_;
  std::int64_t set_aside_ = 0;  // tokens of calls in flight
  bool alone_ = false;          // nobody else holds tokens
  bool giving_ = false;         // nothing is wanted in the next statement
  bool news_ = false;
  bool news_taken_ = false;
  Wish wish_;
};

// What an instance holds ahead of its need, of a limit.
std::int64_t standing_lease(std::uint64_t limit);

}  // namespace spillway
