#include "core/rate_limit_headers.hpp"

#include <charconv>
#include <string_view>

#include "core/hint_text.hpp"

namespace spillway {
namespace {

// A whole number; a negative one, which some send when it is overdrawn, is 0. A fraction is cut.
std::optional<std::uint64_t> amount(std::optional<std::string_view> text) {
  if (!text || text->empty()) return std::nullopt;
  std::uint64_t value = 0;
  const char* const end = text->data() + text->size();
  const auto [rest, error] = std::from_chars(text->data(), end, value);
  if (error == std::errc() && (rest == end || *rest == '.')) return value;
  const bool negative =
      text->size() > 1 && text->front() == '-' && text->at(1) >= '0' && text->at(1) <= '9';
  return negative ? std::optional<std::uint64_t>(0) : std::nullopt;
}

struct Names {
  std::string_view limit, remaining, reset;
};

std::optional<Quota> quota(Headers headers, const Names& names, WallTime now) {
  const auto remaining = amount(find_header(headers, names.remaining));
  const auto limit = remaining ? amount(find_header(headers, names.limit)) : std::nullopt;
  if (!limit || *limit == 0) return std::nullopt;
  const auto reset = find_header(headers, names.reset);
  return Quota{*limit, *remaining, reset ? parse_reset(*reset, now) : std::nullopt};
}

constexpr Names kRequests{"x-ratelimit-limit-requests", "x-ratelimit-remaining-requests",
                          "x-ratelimit-reset-requests"};
constexpr Names kTokens{"x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens",
                        "x-ratelimit-reset-tokens"};

}  // namespace

Quotas read_quotas(Headers headers, WallTime now) {
  return {quota(headers, kRequests, now), quota(headers, kTokens, now)};
}

}  // namespace spillway
