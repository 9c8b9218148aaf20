// `spillway --health-check`: asks a gateway on this machine whether it is ready, for containers
// without a shell.
#pragma once

#include <string>

namespace spillway::server {

// Empty if GET /health/readiness on `listen` (HOST:PORT; a wildcard host means loopback) answers
// 200 within 3 s, else why not.
std::string health_check(const std::string& listen);

}  // namespace spillway::server
