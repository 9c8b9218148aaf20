// Server-sent events read the slow way, straight from the WHATWG rules, with the whole stream at
// hand.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace spillway::fuzz {

struct ReferenceEvent {
  std::string data, type;
  bool operator==(const ReferenceEvent&) const = default;
};

inline std::vector<std::string> split_lines(std::string_view stream) {
  std::vector<std::string> lines(1);  // the last one is unfinished
  for (std::size_t i = 0; i < stream.size(); ++i) {
    if (stream[i] == '\n' || stream[i] == '\r') {
      if (stream[i] == '\r' && i + 1 < stream.size() && stream[i + 1] == '\n') ++i;
      lines.emplace_back();
    } else {
      lines.back().push_back(stream[i]);
    }
  }
  lines.pop_back();
  return lines;
}

// The events with data that are dispatched; an unfinished one at the end is not.
inline std::vector<ReferenceEvent> read_events(std::string_view stream) {
  if (stream.starts_with("\xEF\xBB\xBF")) stream.remove_prefix(3);
  std::vector<ReferenceEvent> events;
  ReferenceEvent event;
  bool has_data = false;
  for (const std::string& line : split_lines(stream)) {
    if (line.empty()) {
      if (has_data) events.push_back(event);
      event = {};
      has_data = false;
      continue;
    }
    const std::size_t colon = line.find(':');
    const std::string name = line.substr(0, colon);
    std::string value = colon == std::string::npos ? "" : line.substr(colon + 1);
    if (value.starts_with(' ')) value.erase(0, 1);
    if (name == "event") event.type = value;
    if (name != "data") continue;
    if (has_data) event.data += '\n';
    event.data += value;
    has_data = true;
  }
  return events;
}

}  // namespace spillway::fuzz
