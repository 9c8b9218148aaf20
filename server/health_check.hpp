// `spillway --health-check`: asks a gateway on this machine whether it is ready, for containers
// without a shell.
#pragma once

#include <string>

namespace spillway::server {

// Where it is not known how the gateway listens, it is asked in plain text first.
enum class Encryption { unknown, tls };

// Empty if GET /health/readiness on `listen` (HOST:PORT; a wildcard host means loopback) answers
// 200 within a few seconds, else why not. A gateway that wants a client's certificate is ready if
// it asks for one.
std::string health_check(const std::string& listen, Encryption encryption = Encryption::unknown);

}  // namespace spillway::server
