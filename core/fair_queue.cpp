#include "core/fair_queue.hpp"

#include <algorithm>

namespace spillway {

FairQueue::Joined FairQueue::join(std::string_view key, std::size_t places) {
  Joined joined;
  std::optional<Lines::iterator> longest_line;
  if (size_ >= places) {
    if (places == 0) return joined;
    const auto own = lines_.find(key);
    const std::size_t waiting = own == lines_.end() ? 0 : own->second.size();
    const auto longest = std::ranges::max_element(
        lines_, {}, [](const Lines::value_type& line) { return line.second.size(); });
    // Of two that differ by one, neither has a better claim.
    if (longest->second.size() < waiting + 2) return joined;
    longest_line = longest;
  }
  add(key, last_ticket_ + 1);  // first: there may be no memory for it
  joined.ticket = ++last_ticket_;
  if (longest_line) {
    joined.displaced = *(*longest_line)->second.rbegin();
    remove(*longest_line, *joined.displaced);
  }
  return joined;
}

void FairQueue::add(std::string_view key, Ticket ticket) {
  const auto line = lines_.find(key);
  if (line == lines_.end())
    lines_.emplace(key, std::set<Ticket>{ticket});
  else
    line->second.insert(ticket);
  ++size_;
}

std::optional<FairQueue::Ticket> FairQueue::next() {
  if (lines_.empty()) return std::nullopt;
  auto line = lines_.upper_bound(served_last_);
  if (line == lines_.end()) line = lines_.begin();
  served_last_ = line->first;
  const Ticket first = *line->second.begin();
  remove(line, first);
  return first;
}

bool FairQueue::leave(Ticket ticket, std::string_view key) {
  const auto line = lines_.find(key);
  if (line == lines_.end() || !line->second.contains(ticket)) return false;
  remove(line, ticket);
  return true;
}

void FairQueue::remove(Lines::iterator line, Ticket ticket) {
  line->second.erase(ticket);
  if (line->second.empty()) lines_.erase(line);
  --size_;
}

}  // namespace spillway
