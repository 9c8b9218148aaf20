#include "core/rate_window.hpp"

#include <algorithm>

#include "core/bounds.hpp"

namespace spillway {

void RateWindow::forget(TimePoint now) {
  while (count_ > 0 && at(0).latest + bounds::kRateWindow <= now) {
    total_.requests -= at(0).usage.requests;
    total_.tokens -= at(0).usage.tokens;
    oldest_ = (oldest_ + 1) % kBuckets;
    --count_;
  }
}

void RateWindow::add(const Usage& usage, TimePoint now) {
  forget(now);
  const bool fits = count_ > 0 && now < at(count_ - 1).first + seconds(1);
  if (!fits && count_ < kBuckets) {
    ++count_;
    at(count_ - 1) = {.first = now, .latest = now, .usage = {}};
  }
  Bucket& newest = at(count_ - 1);
  newest.latest = std::max(newest.latest, now);
  newest.usage.requests += usage.requests;
  newest.usage.tokens += usage.tokens;
  total_.requests += usage.requests;
  total_.tokens += usage.tokens;
}

RateWindow::Usage RateWindow::used(TimePoint now) {
  forget(now);
  return total_;
}

std::vector<RateWindow::Spent> RateWindow::spent(TimePoint now) {
  forget(now);
  std::vector<Spent> out;
  for (std::size_t i = 0; i < count_; ++i) out.push_back({now - at(i).latest, at(i).usage});
  return out;
}

TimePoint RateWindow::below(std::uint64_t Usage::*kind, std::uint64_t limit, TimePoint now) {
  forget(now);
  if (limit == 0) return now + bounds::kRateWindow;
  std::uint64_t left = total_.*kind;
  TimePoint when = now;
  for (std::size_t i = 0; i < count_ && left >= limit; ++i) {
    left -= at(i).usage.*kind;
    when = at(i).latest + bounds::kRateWindow;
  }
  return when;
}

TimePoint RateWindow::requests_below(std::uint64_t limit, TimePoint now) {
  return below(&Usage::requests, limit, now);
}

TimePoint RateWindow::tokens_below(std::uint64_t limit, TimePoint now) {
  return below(&Usage::tokens, limit, now);
}

}  // namespace spillway
