// Values by name, found in two places of memory however many there are: a table of positions, and
// the names themselves, side by side in the order they came in. With a thousand model groups hardly
// any of this is in the caches when a request asks, and each step of a tree would wait for memory.
//
// Names are the operator's own; nothing is ever taken out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/fnv.hpp"

namespace spillway {

template <typename Value>
class ByName {
 public:
  // nullptr: nobody has the name.
  const Value* find(std::string_view name) const {
    const std::uint32_t position = places_.empty() ? kFree : places_[place_of(name)];
    return position == kFree ? nullptr : &entries_[position].second;
  }

  // Nothing changes if the name is there already.
  void emplace(std::string name, Value value) {
    if (places_.size() < (entries_.size() + 1) * kPlacesEach) grow();
    std::uint32_t& position = places_[place_of(name)];
    if (position != kFree) return;
    position = static_cast<std::uint32_t>(entries_.size());
    entries_.emplace_back(std::move(name), std::move(value));
  }

  auto begin() const { return entries_.begin(); }
  auto end() const { return entries_.end(); }

 private:
  static constexpr std::uint32_t kFree = UINT32_MAX;
  // So many that a name nearly always stands in the first place that is looked at.
  static constexpr std::size_t kPlacesEach = 4;

  // The name's own place, or the free one where it would be.
  std::size_t place_of(std::string_view name) const {
    const std::size_t mask = places_.size() - 1;
    std::size_t place = fnv::hash(name) & mask;
    while (places_[place] != kFree && entries_[places_[place]].first != name)
      place = (place + 1) & mask;
    return place;
  }

  void grow() {
    places_.assign(places_.empty() ? 16 : places_.size() * 2, kFree);
    for (std::uint32_t i = 0; i < entries_.size(); ++i) places_[place_of(entries_[i].first)] = i;
  }

  std::vector<std::pair<std::string, Value>> entries_;
  std::vector<std::uint32_t> places_;  // positions in entries_; a power of two of them
};

}  // namespace spillway
