// router_settings.redis_*: the Redis or Valkey through which instances share what they know.
// LiteLLM's names; a redis_url says everything and wins over the rest, as there.
#pragma once

#include <optional>
#include <string>

#include "config/section.hpp"
#include "core/config.hpp"

namespace spillway::config {

// nullopt: nothing is configured, or it was at fault and told. `ca_file` is trusted where a URL
// names no certificates of its own; empty: the system's store. No message repeats the URL: it may
// hold a password.
std::optional<RedisSettings> read_redis(Section& section, Context& context,
                                        const std::string& ca_file);

}  // namespace spillway::config
