// DESIGN.md section 5, written down a second time for the simulation's judges: they must not ask
// the code under test what is right.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <stdexcept>

#include "core/error_class.hpp"
#include "core/failure.hpp"
#include "core/time.hpp"

namespace spillway::simulation {

// A world went wrong; the message is the rule it broke.
struct RuleBroken : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Called some hundred million times: Catch2's own assertions are too slow for that.
inline void rule(bool holds, const char* text) {
  if (!holds) throw RuleBroken(text);
}

// How often the same request may ask the same deployment again.
enum class Again : unsigned char { never, once, while_retries_last };
// Where else the request may go.
enum class Where : unsigned char { nowhere, rejected_list, larger_window, anywhere };
// What it does to the deployment.
enum class Harm : unsigned char { says_nothing, alive, cools, breaks };

struct Row {
  Again again;
  Where where;
  Harm harm;
};

// The row of a class as such.
inline Row table(ErrorClass met) {
  // In the order of ErrorClass.
  static constexpr std::array<Row, kErrorClassCount> kTable{{
      {Again::never, Where::nowhere, Harm::alive},                // invalid_request
      {Again::never, Where::larger_window, Harm::alive},          // context_window_exceeded
      {Again::never, Where::rejected_list, Harm::alive},          // content_policy_violation
      {Again::never, Where::anywhere, Harm::cools},               // authentication
      {Again::never, Where::anywhere, Harm::cools},               // permission_denied
      {Again::never, Where::anywhere, Harm::cools},               // not_found
      {Again::never, Where::nowhere, Harm::alive},                // conflict
      {Again::never, Where::nowhere, Harm::alive},                // unprocessable
      {Again::while_retries_last, Where::anywhere, Harm::cools},  // rate_limit
      {Again::never, Where::anywhere, Harm::cools},               // quota_exhausted
      {Again::never, Where::anywhere, Harm::breaks},              // timeout
      {Again::once, Where::anywhere, Harm::breaks},               // internal
      {Again::once, Where::anywhere, Harm::breaks},               // bad_gateway
      {Again::once, Where::anywhere, Harm::breaks},               // unavailable
      {Again::once, Where::anywhere, Harm::breaks},               // connection
      {Again::once, Where::anywhere, Harm::breaks},               // protocol
      {Again::never, Where::nowhere, Harm::says_nothing},         // client_closed
  }};
  return kTable[static_cast<std::size_t>(met)];
}

// The row of what was met: some classes are the client's own fault at times.
inline Row table(const Failure& failure) {
  const ErrorClass met = failure.error_class;
  if (failure.excused) return {table(met).again, table(met).where, Harm::says_nothing};
  const bool of_request = met == ErrorClass::permission_denied || met == ErrorClass::not_found;
  if (of_request && !failure.concerns_deployment)
    return {Again::never, Where::nowhere, Harm::alive};
  if (met == ErrorClass::timeout && failure.client_deadline)
    return {Again::never, Where::nowhere, Harm::says_nothing};
  return table(met);
}

inline bool is_rate_limit(ErrorClass met) {
  return met == ErrorClass::rate_limit || met == ErrorClass::quota_exhausted;
}

// `base` doubled `times` times, at most `cap`.
inline Duration doubling(Duration base, unsigned times, Duration cap) {
  for (; times > 0 && base < cap; --times) base *= 2;
  return std::min(base, cap);
}

inline Duration with_jitter(Duration length) {
  return length + std::chrono::duration_cast<Duration>(length * 0.05) + Duration(1);
}

}  // namespace spillway::simulation
