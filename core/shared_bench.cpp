#include "core/shared_bench.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>

#include "core/bounds.hpp"
#include "core/health.hpp"

namespace spillway {

namespace {

constexpr std::string_view kVersion = "1";

constexpr std::array<std::string_view, 4> kNews{"benched", "closed", "probing", "released"};

// Words of a text, one after the other; an empty one where there is none left.
class Words {
 public:
  explicit Words(std::string_view text) : rest_(text) {}

  std::string_view next() {
    const std::size_t end = std::min(rest_.find(' '), rest_.size());
    const std::string_view word = rest_.substr(0, end);
    rest_.remove_prefix(std::min(end + 1, rest_.size()));
    return word;
  }
  std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

template <typename T>
std::optional<T> number(std::string_view text, T most, int base = 10) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc{} || end != text.data() + text.size() || value > most) return std::nullopt;
  return value;
}

std::optional<BenchId> parse_id(std::string_view text) {
  const std::size_t dash = text.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const auto instance = number<std::uint64_t>(text.substr(0, dash), UINT64_MAX, 16);
  const auto count = number<std::uint64_t>(text.substr(dash + 1), UINT64_MAX);
  if (!instance || !count || *count == 0) return std::nullopt;
  return BenchId{*instance, *count};
}

std::optional<HealthState> parse_state(std::string_view text) {
  for (const HealthState state : {HealthState::cooling, HealthState::breaker_open}) {
    if (name(state) == text) return state;
  }
  return std::nullopt;
}

std::optional<ErrorClass> parse_cause(std::string_view text) {
  for (std::size_t i = 0; i < kErrorClassCount; ++i) {
    if (name(static_cast<ErrorClass>(i)) == text) return static_cast<ErrorClass>(i);
  }
  return std::nullopt;
}

std::optional<Bench> parse_record(Words& words) {
  if (words.next() != kVersion) return std::nullopt;
  const auto id = parse_id(words.next());
  const auto state = parse_state(words.next());
  const auto cause = parse_cause(words.next());
  const auto named = number<unsigned>(words.next(), 1);
  const auto probes = number<unsigned>(words.next(), bounds::kSharedFailedProbes);
  if (!id || !state || !cause || !named || !probes) return std::nullopt;
  return Bench{.id = *id,
               .state = *state,
               .remaining = {},
               .named_by_upstream = *named == 1,
               .cause = *cause,
               .failed_probes = *probes};
}

std::optional<Bench> parse_benched(Words& words) {
  const auto remaining = number<std::int64_t>(
      words.next(), std::chrono::duration_cast<milliseconds>(bounds::kSharedBenchCap).count());
  auto bench = parse_record(words);
  if (!bench || !remaining || *remaining <= 0) return std::nullopt;
  bench->remaining = milliseconds(*remaining);
  return bench;
}

}  // namespace

std::vector<Announcement> announcements(const BenchView& view, Announced& announced) {
  std::vector<Announcement> out;
  const auto say = [&](BenchNews news, const Bench& bench) { out.push_back({news, bench}); };
  if (view.closed && view.closed != announced.closed) {
    say(BenchNews::closed, Bench{.id = view.closed});
    announced.closed = view.closed;
  }
  if (!view.bench) {
    announced.bench = {};
    announced.probing = false;
    return out;
  }
  if (view.bench->id != announced.bench) {
    announced.bench = view.bench->id;
    announced.probing = false;
    if (view.bench->remaining >= milliseconds(1)) say(BenchNews::benched, *view.bench);
  }
  if (view.probing != announced.probing) {
    announced.probing = view.probing;
    const BenchNews news = view.probing ? BenchNews::probing : BenchNews::released;
    say(news, Bench{.id = view.bench->id});
  }
  return out;
}

std::string bench_id_text(BenchId id) {
  return fmt::format("{:016x}-{}", id.instance, id.number);
}

std::string bench_record(const Bench& bench) {
  return fmt::format("{} {} {} {} {} {}", kVersion, bench_id_text(bench.id), name(bench.state),
                     name(bench.cause), bench.named_by_upstream ? 1 : 0,
                     std::min(bench.failed_probes, bounds::kSharedFailedProbes));
}

std::string to_string(const BenchMessage& message) {
  const Bench& bench = message.announcement.bench;
  const BenchNews news = message.announcement.news;
  const std::string what =
      news == BenchNews::benched
          ? fmt::format("{} {}", std::chrono::duration_cast<milliseconds>(bench.remaining).count(),
                        bench_record(bench))
          : bench_id_text(bench.id);
  return fmt::format("{:016x} {} {} {}", message.sender, kNews[static_cast<std::size_t>(news)],
                     what, message.deployment);
}

std::optional<Bench> parse_bench_record(std::string_view text) {
  Words words(text);
  auto bench = parse_record(words);
  return words.rest().empty() ? bench : std::nullopt;
}

std::optional<BenchMessage> parse_bench_message(std::string_view text) {
  Words words(text);
  const auto sender = number<std::uint64_t>(words.next(), UINT64_MAX, 16);
  const std::string_view said = words.next();
  for (std::size_t i = 0; i < kNews.size(); ++i) {
    if (kNews[i] != said) continue;
    const auto news = static_cast<BenchNews>(i);
    std::optional<Bench> bench;
    if (news == BenchNews::benched) {
      bench = parse_benched(words);
    } else if (const auto id = parse_id(words.next())) {
      bench = Bench{.id = *id};
    }
    if (!sender || !bench || words.rest().empty()) return std::nullopt;
    return BenchMessage{*sender, {news, *bench}, std::string(words.rest())};
  }
  return std::nullopt;
}

}  // namespace spillway
