// What every thread with an io_context of its own has in common.
#pragma once

#include "core/random.hpp"
#include "server/asio.hpp"

namespace spillway::server {

// Runs until the context is stopped or has nothing left to do. A bug in one handler must not end
// the process: what a handler throws is logged, and the loop goes on.
void run_event_loop(asio::io_context& io);

// Unpredictable from outside, unlike what tests use.
Random seeded_random();

}  // namespace spillway::server
