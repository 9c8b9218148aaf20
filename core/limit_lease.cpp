#include "core/limit_lease.hpp"

#include <algorithm>
#include <utility>

#include "core/bounds.hpp"

namespace spillway {

namespace {

std::int64_t amount(std::uint64_t count) {
  return static_cast<std::int64_t>(std::min(count, bounds::kLeaseMost));
}

bool low(std::int64_t left, std::uint64_t limit) {
  return left * 2 < standing_lease(limit);
}

}  // namespace

std::int64_t standing_lease(std::uint64_t limit) {
  if (limit == 0) return 0;
  return std::max<std::int64_t>(amount(limit) / bounds::kStandingLeaseShare, 1);
}

// --- the ledger ----------------------------------------------------------------------------------

void LimitLease::expect(TimePoint now) {
  if (expected_) return;
  expected_ = granted_ = true;
  valid_until_ = now + bounds::kLeaseLength;
  asked_at_ = asked_since_ = now;
}

void LimitLease::lose() {
  granted_ = false;
  hold_nothing();
}

void LimitLease::hold_nothing() {
  requests_.hold(0);
  tokens_.hold(set_aside_);
  alone_ = false;
}

LeaseStatement LimitLease::state(const CallLimits& limits, RateWindow& window, TimePoint now) {
  if (!rules(now)) hold_nothing();
  const bool wanted = waited_for(now) && !giving_;
  LeaseStatement out;
  const auto most = [](std::int64_t want, std::int64_t need, std::uint64_t limit) {
    return std::max(std::min(want, amount(limit)), need);
  };
  if (limits.rpm) {
    out.keep.requests = std::max<std::int64_t>(requests_left(), 0);
    out.need.requests = wanted ? std::max<std::int64_t>(out.keep.requests, 1) : out.keep.requests;
    const std::int64_t spare = standing_lease(*limits.rpm) + (wanted ? wish_.count : 0);
    out.want.requests = giving_ ? out.keep.requests : most(spare, out.need.requests, *limits.rpm);
  }
  if (limits.tpm) {
    const std::int64_t left = std::max<std::int64_t>(tokens_left(), 0);
    out.keep.tokens = set_aside_ + left;
    out.need.tokens = set_aside_ + (wanted ? std::max(left, waiting_tokens(now)) : left);
    const std::int64_t spare =
        standing_lease(*limits.tpm) + (wanted ? wish_.count * wish_.tokens : 0);
    out.want.tokens =
        giving_ ? out.keep.tokens : most(set_aside_ + spare, out.need.tokens, *limits.tpm);
  }
  out.used = window.spent(now);
  for (Account* account : {&requests_, &tokens_}) account->statement_at = account->spent;
  stated_at_ = now;
  if (!asked_at_) asked_at_ = now;
  asked_since_.reset();
  giving_ = news_ = news_taken_ = false;
  wish_.count = 0;
  return out;
}

bool LimitLease::answered(const LeaseAnswer& answer, const CallLimits& limits, TimePoint now) {
  asked_at_ = asked_since_;
  if (now - stated_at_ > bounds::kLeasePatience) {
    lose();
    return false;
  }
  granted_ = true;
  valid_until_ = stated_at_ + bounds::kLeaseLength;
  requests_.granted = answer.granted.requests;
  tokens_.granted = answer.granted.tokens;
  for (Account* account : {&requests_, &tokens_}) account->granted_at = account->statement_at;
  alone_ = answer.others.tokens == 0;
  limited_until_ = limit_end(answer, limits, now);
  if (giving_) hold_nothing();  // it was asked back meanwhile
  return true;
}

// What others hold has been asked back where requests wait for it, and is waited for a moment.
TimePoint LimitLease::limit_end(const LeaseAnswer& answer, const CallLimits& limits,
                                TimePoint now) {
  const bool requests = limits.rpm && requests_left() < 1;
  const bool tokens = limits.tpm && !tokens_suffice(waiting_tokens(now));
  if (!requests && !tokens) {
    if (waited_for(now)) kept_until_ = now + bounds::kLeaseWish;  // whoever waits comes for it
    wish_ = {};
    return {};
  }
  const bool used_up =
      (requests && answer.others.requests == 0) || (tokens && answer.others.tokens == 0);
  const bool in_vain = waited_for(now) && now - wish_.first >= bounds::kLeasePatience;
  if (!used_up && !in_vain) return {};
  return now + std::max(requests ? answer.requests_in : Duration{},
                        tokens ? answer.tokens_in : Duration{});
}

bool LimitLease::recall(Yields yields, TimePoint now) {
  if (now < kept_until_ || (waited_for(now) && yields == Yields::no)) return false;
  if (requests_left() < 1 && tokens_left() < 1) return false;
  give_up();
  return true;
}

void LimitLease::give_up() {
  hold_nothing();
  giving_ = true;
}

bool LimitLease::take_news() {
  return news_ && !std::exchange(news_taken_, true);
}

// --- requests ------------------------------------------------------------------------------------

bool LimitLease::rules(TimePoint now) const {
  if (!granted_ || now >= valid_until_) return false;
  return !asked_at_ || now - *asked_at_ < bounds::kLeasePatience;
}

// Where an answer tells nothing of its tokens before its end, the last call of a minute may use
// more than was left. As in one process, there is one such call, not one at each instance: only who
// holds all that is left begins it.
bool LimitLease::tokens_suffice(std::int64_t need) const {
  const std::int64_t left = tokens_left();
  return left >= need || (alone_ && left >= 1);
}

bool LimitLease::waited_for(TimePoint now) const {
  return wish_.last != TimePoint{} && now - wish_.last < bounds::kLeaseWish;
}

std::int64_t LimitLease::waiting_tokens(TimePoint now) const {
  return waited_for(now) ? std::max<std::int64_t>(wish_.tokens, 1) : 1;
}

Room LimitLease::room(const CallLimits& limits, std::optional<std::uint64_t> tokens, TimePoint now,
                      Looking looking) {
  Room room;
  std::int64_t need = tokens ? std::max<std::int64_t>(amount(*tokens), 1) : waiting_tokens(now);
  if (limits.tpm) need = std::min(need, std::max<std::int64_t>(amount(*limits.tpm), 1));
  const bool enough =
      (!limits.rpm || requests_left() >= 1) && (!limits.tpm || tokens_suffice(need));
  if (enough) return room;
  room.limited_until = limited_until_;
  if (limited_until_ > now) return room;
  if (looking == Looking::to_call) wish(need, now);
  room.taken = true;
  return room;
}

void LimitLease::wish(std::int64_t tokens, TimePoint now) {
  if (!waited_for(now)) wish_ = {.first = now, .last = now};
  wish_.last = now;
  wish_.tokens = std::max(wish_.tokens, tokens);
  ++wish_.count;
  if (!asked_at_) asked_at_ = now;
  if (!asked_since_) asked_since_ = now;
  news_ = true;
}

void LimitLease::begin(std::uint64_t tokens, const CallLimits& limits) {
  ++requests_.spent;
  set_aside_ += amount(tokens);
  note_low(limits);
}

void LimitLease::end(std::uint64_t tokens) {
  set_aside_ -= std::min(set_aside_, amount(tokens));
}

void LimitLease::use(std::uint64_t tokens, const CallLimits& limits) {
  tokens_.spent += amount(tokens);
  note_low(limits);
}

void LimitLease::note_low(const CallLimits& limits) {
  if (!granted_) return;
  news_ |= (limits.rpm && low(requests_left(), *limits.rpm)) ||
           (limits.tpm && low(tokens_left(), *limits.tpm));
}

}  // namespace spillway
