#include "core/affinity_news.hpp"

#include <fmt/format.h>

#include <charconv>
#include <iterator>

#include "core/bounds.hpp"

namespace spillway {

namespace {

template <typename T>
bool read(std::string_view& line, T& out, int base) {
  const char* const end = line.data() + line.size();
  const auto [stop, error] = std::from_chars(line.data(), end, out, base);
  if (error != std::errc{} || stop == end || *stop != ' ') return false;
  line.remove_prefix(static_cast<std::size_t>(stop - line.data()) + 1);
  return true;
}

std::optional<AffinityNews> parse_line(std::string_view line) {
  AffinityNews news;
  std::uint64_t ttl = 0;
  if (!read(line, news.key, 16) || !read(line, ttl, 10) || line.empty()) return std::nullopt;
  constexpr auto kMost = static_cast<std::uint64_t>(
      std::chrono::duration_cast<milliseconds>(bounds::kAffinityTtlCap).count());
  if (ttl == 0 || ttl > kMost) return std::nullopt;
  news.ttl = milliseconds(ttl);
  news.deployment_id = line;
  return news;
}

}  // namespace

std::string to_string(std::span<const AffinityNews> news) {
  std::string out;
  for (const AffinityNews& each : news) {
    if (!out.empty()) out += '\n';
    fmt::format_to(std::back_inserter(out), "{:016x} {} {}", each.key,
                   std::chrono::duration_cast<milliseconds>(each.ttl).count(), each.deployment_id);
  }
  return out;
}

std::optional<std::vector<AffinityNews>> parse_affinity_news(std::string_view text) {
  std::vector<AffinityNews> out;
  for (;;) {
    const std::size_t end = text.find('\n');
    auto news = parse_line(text.substr(0, end));
    if (!news || out.size() >= bounds::kAffinityNewsBatch) return std::nullopt;
    out.push_back(*std::move(news));
    if (end == std::string_view::npos) return out;
    text.remove_prefix(end + 1);
  }
}

}  // namespace spillway
