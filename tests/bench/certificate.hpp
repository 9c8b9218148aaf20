// A certificate for 127.0.0.1 and localhost, made anew for each run, so that no key lies in the
// repository.

#pragma once

#include <openssl/ssl.h>

#include <string>

namespace spillway::bench {

// A server context with a fresh self-signed P-256 certificate, which is also written to `pem_file`
// for the proxies to trust. The caller owns the context; ends the program on failure.
SSL_CTX* make_server_context(const std::string& pem_file);

}  // namespace spillway::bench
