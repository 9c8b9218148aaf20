// The model groups that one request has asked and may still ask: first the one it named, then that
// one's fallbacks, then the fallbacks' own, breadth first, each at most once and at most
// max_fallbacks of them.
//
// Two models of one wildcard group are two entries: `groq/*` as groq/a and as groq/b.
#pragma once

#include <cstddef>
#include <list>
#include <optional>
#include <vector>

#include "core/config.hpp"
#include "core/fleet.hpp"
#include "core/group_visit.hpp"
#include "core/request_options.hpp"
#include "core/time.hpp"

namespace spillway {

class Itinerary {
 public:
  // What is borrowed outlives the itinerary.
  Itinerary(const Config& config, Fleet& fleet, ModelMatch first, const RequestTraits& traits);

  GroupVisit& first() { return first_; }
  GroupVisit& current() { return later_.empty() ? first_ : later_.back(); }
  const GroupVisit& current() const { return later_.empty() ? first_ : later_.back(); }
  unsigned fallbacks() const { return static_cast<unsigned>(later_.size()); }

  // Which list applies follows from how the current group failed. nullptr: none is left. Valid
  // until advance().
  const ModelMatch* next() const;
  // Goes on to next(), which must not be nullptr.
  void advance();

  // The group of next(), which must not be nullptr, to be asked while current() still is.
  GroupVisit& ahead();
  // Goes on to the group ahead(): it answered first.
  void go_ahead();

  // How long until the first of the groups visited serves again, where that is known.
  std::optional<Duration> soonest_recovery(TimePoint now);

 private:
  bool visited(const ModelMatch& model) const;
  GroupVisit visit_to(const ModelMatch& model) const;
  void heed_failures_so_far(GroupVisit& visit) const;
  void leave_current();

  const Config& config_;
  Fleet& fleet_;
  const RequestTraits& traits_;
  GroupVisit first_;  // most requests visit no other
  // Lists, because whoever asked somebody there holds on to the visit.
  std::list<GroupVisit> later_;
  std::list<GroupVisit> ahead_;      // at most one
  std::vector<ModelMatch> pending_;  // fallbacks of the groups left behind
};

}  // namespace spillway
