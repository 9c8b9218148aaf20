// What a failure leaves open for the request that met it: the first two columns of DESIGN.md
// section 5's table. What it does to the deployment is decided in core/health.hpp.
#pragma once

#include <cstdint>

#include "core/failure.hpp"
#include "core/random.hpp"
#include "core/time.hpp"

namespace spillway {

// Whether the same deployment may be asked again by the same request.
enum class AskAgain : std::uint8_t { never, once, while_retries_last };

enum class Elsewhere : std::uint8_t {
  nowhere,                   // the request itself is at fault: any other would say the same
  content_policy_fallbacks,  // only models the operator chose for rejected content
  larger_window,             // one with a larger declared window, then a fallback
  anywhere,
};

struct Recourse {
  AskAgain same = AskAgain::never;
  Elsewhere elsewhere = Elsewhere::nowhere;
  bool operator==(const Recourse&) const = default;
};

Recourse recourse(const Failure& failure);

// True if the answer judges the request rather than the deployment; it outranks what went wrong on
// the way to it.
bool is_verdict(const Failure& failure);

// True if the OpenAI SDKs retry the status by themselves: 408, 409, 429 and 5xx.
bool retried_by_clients(int status);

// The time before a deployment without a hint is asked again, for the `asked_again`th time from 0:
// 0.5 s doubling, cap 8 s, full jitter. The later ones wait in full, so that no stroke of luck
// makes a burst of them.
Duration backoff(unsigned asked_again, Random& random);

}  // namespace spillway
