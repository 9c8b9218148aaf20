// What the events of one stream have in common. Nearly all of them are the one before with another
// text, so that comparing the two tells what the next one says without reading it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/stream_event.hpp"

namespace spillway {

class EventPattern {
 public:
  // What read_event() says of `json`, but for `said` and `obfuscation`, if it is the event that was
  // learned with another text and obfuscation. nullopt: it is not, and may not even be JSON. Views
  // are into `json`.
  std::optional<EventFacts> match(std::string_view json) const;

  // `facts` were read from `json`. Only an ordinary piece of an answer is learned, in place of what
  // was; of other events nothing is known any more (so of several choices that take turns, ever).
  void learn(std::string_view json, const EventFacts& facts);

  // Bytes; at most twice bounds::kEventPatternBytes.
  std::size_t memory() const { return fixed_.capacity(); }

 private:
  // The event without the strings that vary; empty: none was learned.
  std::string fixed_;
  // Where in it they were cut out: the text, and behind that the obfuscation. At its end: there is
  // no obfuscation.
  std::uint16_t said_at_ = 0;
  std::uint16_t obfuscation_at_ = 0;
  // The rest of what it says. The id stands before the text.
  std::uint16_t id_at_ = 0;
  std::uint16_t id_size_ = 0;
  bool text_ = false;  // what is said is choice 0's text
  bool plain_ = false;
};

}  // namespace spillway
