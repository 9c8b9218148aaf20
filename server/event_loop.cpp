#include "server/event_loop.hpp"

#include <fmt/format.h>

#include <exception>

#include "server/coroutine.hpp"
#include "server/log.hpp"

namespace spillway::server {

void run_event_loop(asio::io_context& io) {
  run_event_loop([&io] { io.run(); });
}

void run_event_loop(const std::function<void()>& run) {
  for (;;) {
    try {
      run();
      return release_coroutine_memory();
    } catch (const std::exception& error) {
      log_error(fmt::format("a handler failed: {}", error.what()));
    }
  }
}

Random seeded_random() {
  std::random_device device;
  std::seed_seq seed{device(), device(), device(), device()};
  return Random(seed);
}

}  // namespace spillway::server
