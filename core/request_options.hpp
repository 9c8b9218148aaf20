// What one request asks of the router for itself, laid over the configuration: LiteLLM's
// per-request settings, from the body and from x-litellm-* headers, as one plain value with all
// names resolved.
//
// A request can narrow and redirect its own way; it can neither reach what the configuration does
// not offer nor change what a deployment is judged by.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/config.hpp"
#include "core/endpoint.hpp"
#include "core/time.hpp"

namespace spillway {

// Fallbacks the request brings along: for one model, or for every model it is sent to.
struct FallbackRule {
  std::optional<ModelMatch> of;  // nullopt: for every model
  std::vector<ModelMatch> targets;
  bool operator==(const FallbackRule&) const = default;
};
using FallbackRules = std::vector<FallbackRule>;

struct RequestOptions {
  // Each replaces the configured list of its kind.
  std::optional<FallbackRules> fallbacks{};
  std::optional<FallbackRules> context_window_fallbacks{};
  std::optional<FallbackRules> content_policy_fallbacks{};
  bool disable_fallbacks = false;
  std::optional<unsigned> num_retries{};
  std::optional<Duration> timeout{};         // all attempts together, to the complete answer
  std::optional<Duration> stream_timeout{};  // the same to the first token of a stream
  std::vector<std::string> tags{};           // sorted, each once
  bool operator==(const RequestOptions&) const = default;

  // The client's patience for an answer of this kind; nullopt: it set no bound.
  std::optional<Duration> patience(bool streaming) const {
    return streaming && stream_timeout ? stream_timeout : timeout;
  }
};

// What is fixed about one request.
struct RequestTraits {
  Endpoint endpoint = Endpoint::chat_completions;
  bool streaming = false;
  RequestOptions options{};
  // No fewer than these, by a count that errs downwards; 0: not counted (core/input_size.hpp).
  std::uint64_t least_input_tokens = 0;
  // Whom it belongs with (core/affinity.hpp); nullopt: nobody in particular.
  std::optional<std::uint64_t> affinity{};
  std::uint64_t tokens = 0;  // expected of each call; set aside of its tpm
};

}  // namespace spillway
