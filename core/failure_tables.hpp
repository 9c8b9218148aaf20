// The two places where the words of an upstream's message decide something, and the only ones
// (DESIGN.md section 1): telling context-window and content-policy rejections apart inside a 4xx
// answer whose machine-readable code does not, and the phrases that announce a waiting time. Both
// are tables of lower-case text; the callers bound what is searched (bounds::kErrorBodyBytes).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace spillway {

enum class RejectionKind : std::uint8_t { context_window, content_policy };

// What a 4xx answer's message says the request was rejected for; ASCII case is ignored. nullopt:
// neither.
std::optional<RejectionKind> rejection_in_message(std::string_view message);

// Lower-case phrases after which a message names how long to wait: "try again in 6s", "retry after
// 20 seconds".
std::span<const std::string_view> retry_phrases();

// A retry phrase and its number stand at most this many characters apart (" in ", " after ").
inline constexpr std::size_t kRetryPhraseGap = 8;

}  // namespace spillway
