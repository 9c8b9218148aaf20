// The top-level keys of a body that somebody reads, to look each of a body's keys up in.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace spillway {

class ReadKeys {
 public:
  ReadKeys() = default;
  // `names` are in ASCII lower case, in any order, and may be repeated.
  ReadKeys(std::vector<std::string> names);

  struct Place {
    std::size_t index;  // below size()
    bool for_gateway;   // one of kGatewayBodyKeys
  };
  // `name` is in ASCII lower case. nullopt: nobody reads it.
  std::optional<Place> find(std::string_view name) const;

  std::size_t size() const { return keys_.size(); }
  std::vector<std::string> names() const;  // sorted

  friend bool operator==(const ReadKeys&, const ReadKeys&) = default;

 private:
  struct Key {
    std::string name;
    bool for_gateway;

    friend bool operator==(const Key&, const Key&) = default;
  };
  std::vector<Key> keys_;  // sorted
  // By the first byte of a name: where the keys that begin with it, or with one behind it, begin.
  std::array<std::uint32_t, 257> first_{};
};

}  // namespace spillway
