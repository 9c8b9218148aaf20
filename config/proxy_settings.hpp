// HTTPS_PROXY, HTTP_PROXY and NO_PROXY, in either case (lower case counts first, as with curl).
#pragma once

#include "config/section.hpp"
#include "core/config.hpp"

namespace spillway::config {

// A proxy that cannot be used is a fault: going around it silently may be just what must not
// happen.
ProxySettings read_proxies(Context& context);

}  // namespace spillway::config
