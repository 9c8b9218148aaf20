// Who waits for a place, and who is next: first come, first served among the requests of one key,
// and one request of each key in turn. However many requests one key sends, another's first one
// waits for one of each key before it.
//
// The queue has a fixed number of places. When they are taken, a key with fewer of them than
// another gets the place of the other's newest request, until all have as many; so a flood fills
// what nobody else wants, and no more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

namespace spillway {

class FairQueue {
 public:
  using Ticket = std::uint64_t;  // later ones are greater

  struct Joined {
    std::optional<Ticket> ticket;     // nullopt: refused
    std::optional<Ticket> displaced;  // waits no longer; its place was taken
  };
  // One more of `key`, where at most `places` may wait.
  Joined join(std::string_view key, std::size_t places);

  // Takes out whoever is next; nullopt if nobody waits.
  std::optional<Ticket> next();

  // Takes out one that waits no longer for its turn. False if it had not been waiting any more.
  bool leave(Ticket ticket, std::string_view key);

  std::size_t size() const { return size_; }

 private:
  using Lines = std::map<std::string, std::set<Ticket>, std::less<>>;  // by key; none is empty
  void add(std::string_view key, Ticket ticket);
  void remove(Lines::iterator line, Ticket ticket);

  Lines lines_;
  std::string served_last_;
  std::size_t size_ = 0;
  Ticket last_ticket_ = 0;
};

}  // namespace spillway
