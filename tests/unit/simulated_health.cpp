#include "tests/unit/simulated_health.hpp"

#include <algorithm>

namespace spillway::simulation {

namespace {

// Whatever is older than a minute is forgotten; of the last five seconds of that minute either is
// right. Returns how many are surely within, and how many are at the edge.
struct Counted {
  std::size_t sure = 0;
  std::size_t at_edge = 0;
};

Counted count(std::vector<TimePoint>& times, TimePoint now) {
  std::erase_if(times, [now](TimePoint at) { return now - at >= seconds(60); });
  const auto sure =
      std::ranges::count_if(times, [now](TimePoint at) { return now - at <= seconds(55); });
  return {static_cast<std::size_t>(sure), times.size() - static_cast<std::size_t>(sure)};
}

}  // namespace

HealthBook::Ticket HealthBook::begin(bool probe) {
  ++in_flight_;
  if (probe) probing_ = true;
  return {.begun = ++clock_, .probe = probe};
}

void HealthBook::give_back(Ticket& ticket) {
  if (ticket.probe) probing_ = false;
  ticket.probe = false;
}

void HealthBook::close() {
  if (!benched_) return;
  benched_ = false;
  failed_probes_ = 0;
  in_a_row_ = 0;
  successes_.clear();
  failures_.clear();
  for (Times& times : tolerated_) times.clear();
}

void HealthBook::succeeded(Ticket& ticket, HealthChange change, const Availability& seen,
                           TimePoint now) {
  const bool probe = ticket.probe;
  const bool late = ticket.begun < benched_at_;
  give_back(ticket);
  bool closes = false;
  if (!late) {
    closes = benched_ && (probe || state_ == HealthState::breaker_open);
    if (closes) {
      close();
    } else if (!benched_ && !probe) {
      in_a_row_ = 0;
      successes_.push_back(now);
    }
  }
  rule(change == (closes ? HealthChange::closed : HealthChange::none),
       "a bench is closed by its probe or by the breaker's last resort, and by nothing else");
  compare(seen, now);
}

void HealthBook::failed(Ticket& ticket, const Failure& failure, HealthChange change,
                        const Availability& seen, TimePoint now) {
  const bool holds_place = ticket.probe;
  const bool stale = ticket.begun < benched_at_;
  const bool probe = holds_place && !stale;
  const bool late = !probe && (stale || benched_);
  give_back(ticket);

  const Verdict verdict = judge(failure, late, probe, now);
  const bool follows = verdict.at_edge && change == HealthChange::none;
  if (verdict.sentence == Sentence::none || follows) {
    rule(change == HealthChange::none, "a failure that benches nobody changes nothing");
  } else if (verdict.sentence == Sentence::close) {
    rule(change == (benched_ ? HealthChange::closed : HealthChange::none),
         "a probe that was answered closes the bench");
    close();
  } else {
    bench(verdict, failure, benched_ && late, change, seen, now);
  }
  compare(seen, now);
}

HealthBook::Verdict HealthBook::judge(const Failure& failure, bool late, bool probe,
                                      TimePoint now) {
  const Harm harm = table(failure).harm;
  if (harm == Harm::says_nothing) return {};
  if (harm != Harm::alive) last_failure_ = now;
  const bool counts =
      harm == Harm::breaks || (harm == Harm::cools && !is_rate_limit(failure.error_class));
  if (!late && !probe && counts) {
    ++in_a_row_;
    failures_.push_back(now);
  }
  const bool may_bench = !alone_ && !rules_.disabled && rules_.cooldown_time != Duration::zero();
  if (probe && (!may_bench || harm == Harm::alive)) return {Sentence::close, {}};
  if (!may_bench) return {};
  if (probe) ++failed_probes_;

  const auto& policy = rules_.allowed_fails_policy[static_cast<std::size_t>(failure.error_class)];
  const auto allowed = policy || harm == Harm::alive ? policy : rules_.allowed_fails;
  const Verdict cool{Sentence::cool, cooldown(failure, probe ? failed_probes_ : 0)};
  if (allowed) {
    if (late || probe) return benched_ ? cool : Verdict{};
    Times& used = tolerated_[static_cast<std::size_t>(failure.error_class)];
    used.push_back(now);
    const Counted counted = count(used, now);
    if (counted.sure + counted.at_edge <= *allowed) return {};
    return {Sentence::cool, cool.length, counted.sure <= *allowed};
  }
  if (harm == Harm::alive) return {};
  if (failure.hint) return cool;
  if (late && (harm == Harm::breaks || !benched_)) return {};
  if (harm == Harm::cools) return cool;
  return breaker(probe, now);
}

HealthBook::Verdict HealthBook::breaker(bool probe, TimePoint now) {
  const Duration length =
      rules_.cooldown_time.value_or(doubling(seconds(5), probe ? failed_probes_ : 0, seconds(15)));
  const Verdict open{Sentence::open, length};
  if (probe || in_a_row_ >= 3) return open;
  const Counted bad = count(failures_, now);
  const Counted good = count(successes_, now);
  if (bad.at_edge + good.at_edge == 0) {
    const std::size_t all = bad.sure + good.sure;
    return all >= 5 && bad.sure * 2 > all ? open : Verdict{};
  }
  // The most and the least that the edge can make of it.
  const std::size_t all_bad = bad.sure + bad.at_edge;
  const bool perhaps = all_bad + good.sure + good.at_edge >= 5 && all_bad * 2 > all_bad + good.sure;
  return perhaps ? Verdict{Sentence::open, length, true} : Verdict{};
}

Duration HealthBook::cooldown(const Failure& failure, unsigned doublings) const {
  if (failure.hint) return failure.hint->delay;
  if (rules_.cooldown_time) return *rules_.cooldown_time;
  if (failure.error_class == ErrorClass::quota_exhausted) return minutes(10);
  const bool credential = failure.error_class == ErrorClass::authentication ||
                          failure.error_class == ErrorClass::permission_denied ||
                          failure.error_class == ErrorClass::not_found;
  if (credential) return seconds(60);
  return doubling(seconds(5), doublings, seconds(300));
}

void HealthBook::bench(const Verdict& verdict, const Failure& failure, bool extends,
                       HealthChange change, const Availability& seen, TimePoint now) {
  const TimePoint shortest = now + verdict.length;
  const TimePoint longest = now + with_jitter(verdict.length);
  if (extends && longest <= until_) {
    rule(change == HealthChange::none, "a bench is never shortened");
    return;
  }
  if (extends && shortest <= until_ && change == HealthChange::none) return;
  const HealthState state =
      verdict.sentence == Sentence::cool ? HealthState::cooling : HealthState::breaker_open;
  const HealthChange expected = extends                         ? HealthChange::extended
                                : state == HealthState::cooling ? HealthChange::cooled_down
                                                                : HealthChange::breaker_opened;
  rule(change == expected, "a failure benches as its class says");
  rule(!extends || seen.until >= until_, "a bench is never shortened");
  rule(seen.until >= shortest && seen.until <= longest, "a bench is as long as its rule says");
  benched_ = true;
  state_ = state;
  until_ = seen.until;
  named_ = failure.hint.has_value();
  cause_ = failure.error_class;
  benched_at_ = ++clock_;
}

void HealthBook::compare(const Availability& seen, TimePoint now) const {
  rule(seen.callable == callable(now), "who may be called is as the bench book says");
  rule(seen.last_failure == last_failure_, "the last failure is remembered");
  const HealthState state = !benched_       ? HealthState::closed
                            : now >= until_ ? HealthState::half_open
                                            : state_;
  rule(seen.state == state, "the state is as the bench book says");
  if (!benched_) return;
  rule(seen.until == until_, "a bench ends when it was set to end");
  rule(seen.named_by_upstream == named_, "whether the upstream named the time is remembered");
  rule(seen.cause == cause_, "what benched a deployment is remembered");
  rule(seen.probing == probing_, "there is one probe at a time");
}

}  // namespace spillway::simulation
