// Top-level keys of a body that are the gateway's own, or LiteLLM's proxy's: cut out before it is
// forwarded. core/read_request_options.hpp reads those that mean something here.
#pragma once

#include <algorithm>
#include <array>
#include <string_view>

namespace spillway {

inline constexpr auto kGatewayBodyKeys =
    std::to_array<std::string_view>({"cache",
                                     "caching",
                                     "content_policy_fallbacks",
                                     "context_window_fallbacks",
                                     "disable_fallbacks",
                                     "fallbacks",
                                     "guardrails",
                                     "litellm_call_id",
                                     "litellm_request_debug",
                                     "litellm_session_id",
                                     "litellm_trace_id",
                                     "mock_response",
                                     "mock_testing_content_policy_fallbacks",
                                     "mock_testing_context_fallbacks",
                                     "mock_testing_context_window_fallbacks",
                                     "mock_testing_fallbacks",
                                     "mock_testing_rate_limit_error",
                                     "mock_timeout",
                                     "num_retries",
                                     "request_timeout",
                                     "router_settings_override",
                                     "stream_timeout",
                                     "tags",
                                     "timeout",
                                     "user_config"});
static_assert(std::ranges::is_sorted(kGatewayBodyKeys));

}  // namespace spillway
