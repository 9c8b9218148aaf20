// The counters behind the metrics: cells with one writer and any number of readers, and their sums.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "core/error_class.hpp"
#include "core/failure.hpp"
#include "core/time.hpp"

namespace spillway::server {

// One writer; readers see some recent value.
class Counter {
 public:
  void add(std::uint64_t amount = 1) { set(value() + amount); }
  void set(std::uint64_t value) { value_.store(value, std::memory_order_relaxed); }
  std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

// Upper bounds in seconds. Answers of models take from a tenth of a second to many minutes; the
// gateway's own share takes microseconds.
inline constexpr std::array kAnswerBuckets = {0.05, 0.1, 0.25, 0.5,  1.0,   2.5,   5.0,
                                              10.0, 20., 40.0, 80.0, 160.0, 320.0, 640.0};
inline constexpr std::array kOverheadBuckets = {10e-6,  25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3,
                                                2.5e-3, 5e-3,  10e-3, 25e-3,  100e-3, 1.0};

template <const auto& kBounds>
class HistogramCells {
 public:
  void observe(Duration duration) {
    const double value = std::chrono::duration<double>(duration).count();
    std::size_t bucket = 0;
    while (bucket < kBounds.size() && value > kBounds[bucket]) ++bucket;
    counts_[bucket].add();
    sum_ns_.add(static_cast<std::uint64_t>(duration.count() > 0 ? duration.count() : 0));
  }
  std::uint64_t count(std::size_t bucket) const { return counts_[bucket].value(); }
  std::uint64_t sum_ns() const { return sum_ns_.value(); }

 private:
  std::array<Counter, kBounds.size() + 1> counts_;  // not cumulative; the last is +Inf
  Counter sum_ns_;
};

// The sum of several HistogramCells.
template <const auto& kBounds>
struct HistogramTotal {
  std::array<std::uint64_t, kBounds.size() + 1> counts{};
  std::uint64_t sum_ns = 0;

  void add(const HistogramCells<kBounds>& cells) {
    for (std::size_t i = 0; i < counts.size(); ++i) counts[i] += cells.count(i);
    sum_ns += cells.sum_ns();
  }
};

// Statuses that get a label value of their own; all others share "other".
inline constexpr std::array kCountedStatuses = {200, 400, 401, 403, 404, 405, 408, 409,
                                                413, 414, 415, 417, 422, 429, 431, 499,
                                                500, 501, 502, 503, 504, 505};
inline constexpr std::size_t kStatusSlots = kCountedStatuses.size() + 1;
std::size_t status_slot(int status);
std::string status_label(std::size_t slot);

// Outcomes of an attempt: each class, success, and calls that another's first token ended.
inline constexpr std::size_t kSuccessSlot = kErrorClassCount;
inline constexpr std::size_t kOutrunSlot = kErrorClassCount + 1;
inline constexpr std::size_t kOutcomeSlots = kErrorClassCount + 2;

// What a client's TLS handshake came to.
enum class TlsHandshake : std::uint8_t { full, resumed, failed, timed_out, plain_text };
inline constexpr std::size_t kTlsHandshakeCount = 5;
std::string_view name(TlsHandshake handshake);

template <template <std::size_t> typename Array>
struct GroupCounts {
  Array<kStatusSlots> requests;
  Array<kErrorClassCount> failures;
  Array<2> tokens;  // prompt, completion
};

template <template <std::size_t> typename Array>
struct DeploymentCounts {
  Array<kOutcomeSlots> attempts;
  Array<kErrorClassCount> cooldowns;
};

template <template <std::size_t> typename Array>
struct ProcessCounts {
  Array<kStatusSlots> rejected;
  Array<kHintSourceCount> hints;
  Array<1> dropped_events, recovered_streams, client_disconnects, pool_opened, pool_reused;
  Array<kTlsHandshakeCount> tls_handshakes;
  Array<1> client_connections, pool_idle, pool_busy;  // gauges
};

template <std::size_t kSize>
using CounterArray = std::array<Counter, kSize>;
template <std::size_t kSize>
struct SumArray {
  std::array<std::uint64_t, kSize> values{};
  void add(const CounterArray<kSize>& cells) {
    for (std::size_t i = 0; i < kSize; ++i) values[i] += cells[i].value();
  }
};

struct GroupCells : GroupCounts<CounterArray> {
  HistogramCells<kAnswerBuckets> first_token, duration;
};
struct DeploymentCells : DeploymentCounts<CounterArray> {};
struct ProcessCells : ProcessCounts<CounterArray> {
  HistogramCells<kOverheadBuckets> overhead;
};

struct GroupTotal : GroupCounts<SumArray> {
  HistogramTotal<kAnswerBuckets> first_token, duration;
  void add(const GroupCells& cells);
};
struct DeploymentTotal : DeploymentCounts<SumArray> {
  void add(const DeploymentCells& cells);
};
struct ProcessTotal : ProcessCounts<SumArray> {
  HistogramTotal<kOverheadBuckets> overhead;
  void add(const ProcessCells& cells);
};

// All shards together, by label.
struct MetricTotals {
  std::map<std::string, GroupTotal, std::less<>> groups;
  std::map<std::pair<std::string, std::string>, DeploymentTotal>
      deployments;  // group, deployment id
  ProcessTotal process;
};

}  // namespace spillway::server
