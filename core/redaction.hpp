// Providers repeat in an error what they were sent ("Incorrect API key provided: Bearer sk-..."),
// and what a failure says goes to callers and into the log.
#pragma once

#include "core/config.hpp"
#include "core/failure.hpp"

namespace spillway {

// Takes what the deployment is configured to send with its requests out of all that the failure
// says; "[redacted]" stands in its place.
void redact(Failure& failure, const Deployment& deployment);

}  // namespace spillway
