#include "core/read_keys.hpp"

#include <algorithm>
#include <utility>

#include "core/gateway_body_keys.hpp"

namespace spillway {

namespace {

// The empty name has its place before all others'.
std::size_t first_byte(std::string_view name) {
  return name.empty() ? 0 : static_cast<unsigned char>(name[0]);
}

}  // namespace

ReadKeys::ReadKeys(std::vector<std::string> names) {
  std::ranges::sort(names);
  const auto repeated = std::ranges::unique(names);
  names.erase(repeated.begin(), repeated.end());
  for (std::string& name : names) {
    const bool for_gateway = std::ranges::binary_search(kGatewayBodyKeys, std::string_view(name));
    keys_.push_back({std::move(name), for_gateway});
  }
  std::size_t index = 0;
  for (std::size_t byte = 0; byte < first_.size(); ++byte) {
    while (index < keys_.size() && first_byte(keys_[index].name) < byte) ++index;
    first_[byte] = static_cast<std::uint32_t>(index);
  }
}

std::optional<ReadKeys::Place> ReadKeys::find(std::string_view name) const {
  const std::size_t byte = first_byte(name);
  for (std::size_t index = first_[byte]; index < first_[byte + 1]; ++index) {
    const Key& key = keys_[index];
    if (key.name == name) return Place{index, key.for_gateway};
  }
  return std::nullopt;
}

std::vector<std::string> ReadKeys::names() const {
  std::vector<std::string> names;
  for (const Key& key : keys_) names.push_back(key.name);
  return names;
}

}  // namespace spillway
