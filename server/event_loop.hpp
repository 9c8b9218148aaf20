// What every thread with an io_context of its own has in common.
#pragma once

#include <functional>

#include "core/random.hpp"
#include "server/asio.hpp"

namespace spillway::server {

// Runs until the context is stopped or has nothing left to do. A bug in one handler must not end
// the process: what a handler throws is logged, and the loop goes on.
void run_event_loop(asio::io_context& io);
// The same of another loop: `run` is called until it returns.
void run_event_loop(const std::function<void()>& run);

// Unpredictable from outside, unlike what tests use.
Random seeded_random();

}  // namespace spillway::server
