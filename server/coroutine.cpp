#include "server/coroutine.hpp"

#include <array>
#include <new>

namespace spillway::server {

namespace coroutine {

namespace {

// The sanitizers are to see every use of a coroutine that has ended.
#ifdef SPILLWAY_SANITIZED
constexpr bool kCaching = false;
#else
constexpr bool kCaching = true;
#endif

// Frames of one size class are alike, so that a thread's last ones serve its next ones.
constexpr std::size_t kStep = 64;  // bytes from one class to the next
constexpr std::size_t kClasses = 64;
constexpr unsigned kKept = 256;  // of each class: at most 34 MB in all, usually far less

struct Freed {
  Freed* next;
};
struct SizeClass {
  Freed* first = nullptr;
  unsigned count = 0;
};
constinit thread_local std::array<SizeClass, kClasses> cache{};

std::size_t class_of(std::size_t bytes) {
  return (bytes - 1) / kStep;
}

constinit thread_local unsigned running_chains = 0;  // one within the other
constinit thread_local std::uint64_t turns = 0;      // begun so far

class Turn {
 public:
  Turn() {
    if (running_chains++ == 0) turn_under_way = ++turns;
  }
  ~Turn() {
    if (--running_chains == 0) turn_under_way = 0;
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
};

}  // namespace

constinit thread_local std::uint64_t turn_under_way = 0;

void* allocate(std::size_t bytes) {
  const std::size_t index = class_of(bytes);
  if (!kCaching || index >= kClasses) return ::operator new(bytes);
  SizeClass& kept = cache[index];
  Freed* const frame = kept.first;
  if (!frame) return ::operator new((index + 1) * kStep);
  kept.first = frame->next;
  --kept.count;
  return frame;
}

void deallocate(void* frame, std::size_t bytes) noexcept {
  const std::size_t index = class_of(bytes);
  if (!kCaching || index >= kClasses || cache[index].count >= kKept)
    return ::operator delete(frame);
  SizeClass& kept = cache[index];
  kept.first = new (frame) Freed{kept.first};
  ++kept.count;
}

Chain::Chain(Awaitable<void> first, OnEnd on_end)
    : next_(first.frame_),
      first_(first.frame_),
      first_promise_(first.frame_.promise()),
      on_end_(std::move(on_end)) {
  first.frame_ = nullptr;
  first_promise_.chain = this;
}

Chain::~Chain() {
  first_.destroy();
}

void Chain::run() {
  const Turn turn;
  if (waiting_) next_ = std::exchange(waiting_, nullptr);
  while (next_) std::exchange(next_, nullptr).resume();
  if (waiting_) return;  // and somebody else owns the chain
  const std::exception_ptr error = first_promise_.error;
  const OnEnd on_end = std::move(on_end_);
  delete this;
  if (on_end)
    on_end(error);
  else if (error)
    std::rethrow_exception(error);
}

}  // namespace coroutine

void spawn(Awaitable<void> first, OnEnd on_end) {
  (new coroutine::Chain(std::move(first), std::move(on_end)))->run();
}

void release_coroutine_memory() {
  for (auto& kept : coroutine::cache) {
    while (auto* const frame = kept.first) {
      kept.first = frame->next;
      ::operator delete(frame);
    }
    kept.count = 0;
  }
}

}  // namespace spillway::server
