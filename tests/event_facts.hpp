// Whether two readings of an event say the same, for what compares EventPattern with read_event().
#pragma once

#include <string_view>

#include "core/stream_event.hpp"

namespace spillway {

// The same views of the same text.
inline bool same_view(std::string_view one, std::string_view other) {
  return one.size() == other.size() && (one.empty() || one.data() == other.data());
}

// But for what is only for EventPattern.
inline bool same_facts(const EventFacts& one, const EventFacts& other) {
  return one.object == other.object && one.error == other.error &&
         one.bare_error == other.bare_error && one.has_choices == other.has_choices &&
         one.content == other.content && one.choices == other.choices &&
         one.finished == other.finished && one.plain == other.plain &&
         one.usage.known == other.usage.known && one.usage.prompt == other.usage.prompt &&
         one.usage.completion == other.usage.completion && same_view(one.type, other.type) &&
         same_view(one.id, other.id) && same_view(one.text, other.text) &&
         same_view(one.role, other.role);
}

}  // namespace spillway
