// Watches the process's memory, so that a flood of large requests ends in refusals and not in the
// kernel's killing the process.
//
// What counts is the resident memory, looked at ten times a second, and beside it what has been
// promised since: a body that is about to be received claims its memory first, because a hundred
// of them can arrive between two looks.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <optional>

#include "core/memory_pressure.hpp"
#include "server/asio.hpp"

namespace spillway::server {

class MemoryGuard {
 public:
  // --- main thread ---
  // `limit` in bytes, 0: none; nullopt: what cgroup_memory_limit() allows a process, if it is
  // known. Until then there is none.
  void use(std::optional<std::size_t> limit);
  // Looks at the memory for as long as `io` runs; calls `shed` after each look that finds it short.
  Awaitable<void> watch(asio::io_context& io, TimePoint (*clock)(), std::function<void()> shed);

  // --- any thread ---
  MemoryPressure pressure() const { return pressure_.load(std::memory_order_relaxed); }
  std::size_t resident() const { return resident_.load(std::memory_order_relaxed); }
  std::size_t limit() const { return limit_.load(std::memory_order_relaxed); }

  // Memory that is about to be written to. Given back when it has been, or will not be.
  class Claim {
   public:
    explicit Claim(MemoryGuard& guard) : guard_(guard) {}
    ~Claim() { guard_.claimed_.fetch_sub(bytes_, std::memory_order_relaxed); }
    Claim(const Claim&) = delete;
    Claim& operator=(const Claim&) = delete;
    // False: there is no room for so many bytes more. Nothing is claimed then.
    bool grow(std::size_t bytes);
    // So many of them have been written, and will be seen by the next look.
    void written(std::size_t bytes);

   private:
    MemoryGuard& guard_;
    std::size_t bytes_ = 0;
  };

 private:
  void look(TimePoint now);

  std::atomic<std::size_t> limit_{0};
  std::atomic<std::size_t> resident_{0};
  std::atomic<std::size_t> claimed_{0};
  std::atomic<std::size_t> written_{0};  // of what was claimed, since the last look
  std::atomic<MemoryPressure> pressure_{MemoryPressure::none};  // what gauge_ shows
  MemoryGauge gauge_;                                           // the main thread's
  unsigned looks_ = 0;
};

// The least of the limits that the process's cgroup and those above it have, in bytes; nullopt if
// there is none that is below the machine's memory.
std::optional<std::size_t> cgroup_memory_limit();

}  // namespace spillway::server
