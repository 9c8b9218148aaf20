// A command for Redis, and whose it is.
#pragma once

#include <cstdint>
#include <string>

namespace spillway::server {

struct SharedCommand {
  enum class Part : std::uint8_t { bench, limit, affinity };
  Part part{};
  // Its reply is about this deployment: by then another snapshot may be in use.
  std::string deployment;
  std::string bytes;
};

}  // namespace spillway::server
