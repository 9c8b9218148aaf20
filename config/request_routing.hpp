// The parts of router_settings that say which deployments a request may go to, and with whom it
// stays: tag filtering, pre-call checks, affinity.
#pragma once

#include "config/section.hpp"
#include "core/config.hpp"

namespace spillway::config {

void read_request_routing(Section& router_settings, Context& context, RouterSettings& out);

}  // namespace spillway::config
