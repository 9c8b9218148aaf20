#include "config/suggest.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace spillway::config {

namespace {

constexpr std::size_t kLongestCompared = 100;  // characters; the work is their product

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

}  // namespace

std::size_t edit_distance(std::string_view a, std::string_view b) {
  const auto same = [&](std::size_t i, std::size_t j) {
    return lower(a[i - 1]) == lower(b[j - 1]);
  };
  std::vector<std::size_t> before_last, last(b.size() + 1), row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (same(i, j) ? 0 : 1)});
      const bool swapped = i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
                           lower(a[i - 2]) == lower(b[j - 1]);
      if (swapped) row[j] = std::min(row[j], before_last[j - 2] + 1);
    }
    before_last = last;
    last = row;
  }
  return last[b.size()];
}

std::string_view nearest(std::string_view name, std::span<const std::string_view> known,
                         std::size_t most) {
  if (name.size() > kLongestCompared) return {};
  std::string_view best;
  std::size_t best_distance = most + 1;
  for (const std::string_view candidate : known) {
    const auto [shorter, longer] = std::minmax({candidate.size(), name.size()});
    if (longer - shorter >= best_distance || candidate.empty()) continue;
    const std::size_t distance = edit_distance(name, candidate);
    if (distance < best_distance) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

std::string_view nearest(std::string_view name, std::span<const std::string_view> known) {
  return nearest(name, known, std::max<std::size_t>(1, name.size() / 3));
}

std::string did_you_mean(std::string_view name, std::span<const std::string_view> known) {
  const std::string_view found = nearest(name, known);
  return found.empty() ? "" : fmt::format("; did you mean \"{}\"?", found);
}

}  // namespace spillway::config
