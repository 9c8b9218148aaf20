// Listening addresses: "127.0.0.1:4000", "[::1]:4000", "localhost:4000".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace spillway::config {

struct ListenAddress {
  std::string host;        // no brackets
  std::uint16_t port = 0;  // 0: any free one
  bool operator==(const ListenAddress&) const = default;
};

std::optional<ListenAddress> parse_listen(std::string_view text);

// True for addresses that only this machine can reach.
bool is_loopback(std::string_view host);

}  // namespace spillway::config
