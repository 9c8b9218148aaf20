// What instances say to each other about benches, and how it is written.
//
// An instance does not queue what happens: it compares what it holds with what it has announced
// (announcements()), so that however much happens while nobody listens, one statement for each
// deployment is all there is to say.
//
// Written as words with one space between them. A record is what is kept under a deployment's key:
//
//   1 5ca1ab1e00000007-42 cooling rate_limit 1 0
//   |  id                 state   cause      named, failed probes
//
// and a message names its sender, what happened, the remaining milliseconds of a bench, and at its
// end the deployment:
//
//   5ca1ab1e00000007 benched 4980 1 5ca1ab1e00000007-42 cooling rate_limit 1 0 groq-1
//   00c0ffee00000001 closed 5ca1ab1e00000007-42 groq-1
//
// What cannot be read was not written by us, and is ignored.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/bench.hpp"

namespace spillway {

enum class BenchNews : std::uint8_t {
  benched,
  closed,
  probing,   // the announcing instance's probe is out; the others leave the deployment alone
  released,  // that probe ended without an outcome: anybody may probe
};

struct Announcement {
  BenchNews news{};
  Bench bench;  // only its id, unless `benched`
  bool operator==(const Announcement&) const = default;
};

// What the others know from us, or we from them, about one deployment.
struct Announced {
  BenchId bench;
  BenchId closed;
  bool probing = false;
};

// What has to be said, in this order; `announced` then knows it.
std::vector<Announcement> announcements(const BenchView& view, Announced& announced);

struct BenchMessage {
  std::uint64_t sender = 0;  // the instance; not always the one whose bench it is
  Announcement announcement;
  std::string deployment;
  bool operator==(const BenchMessage&) const = default;
};

std::string bench_id_text(BenchId id);
std::string bench_record(const Bench& bench);
std::string to_string(const BenchMessage& message);

// nullopt: not ours. A record does not say what remains.
std::optional<Bench> parse_bench_record(std::string_view text);
std::optional<BenchMessage> parse_bench_message(std::string_view text);

}  // namespace spillway
