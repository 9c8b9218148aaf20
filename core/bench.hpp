// A bench as a value: what one instance tells another about a deployment that rests.
//
// Times are remaining times, never clock readings: the instances' clocks differ.
#pragma once

#include <cstdint>
#include <optional>

#include "core/error_class.hpp"
#include "core/time.hpp"

namespace spillway {

enum class HealthState : std::uint8_t;

// Which bench: each one that begins and each extension has an id of its own, so that the end of one
// is never taken for the end of another.
struct BenchId {
  std::uint64_t instance = 0;  // whose; 0: this instance's own
  std::uint64_t number = 0;    // from 1; 0: no bench at all
  bool operator==(const BenchId&) const = default;
  explicit operator bool() const { return number != 0; }
};

struct Bench {
  BenchId id;
  HealthState state{};   // cooling or breaker_open
  Duration remaining{};  // not positive: over, and waiting for its probe
  bool named_by_upstream = false;
  ErrorClass cause{};
  unsigned failed_probes = 0;  // since the deployment last served
  bool operator==(const Bench&) const = default;
};

// A deployment's bench at an instant, as it is told to others.
struct BenchView {
  std::optional<Bench> bench;
  BenchId closed;        // the bench that a success ended last
  bool probing = false;  // this instance's probe of `bench` is under way
};

}  // namespace spillway
