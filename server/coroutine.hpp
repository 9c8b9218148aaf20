// The coroutines of server/. An Awaitable<T> is a coroutine that begins when it is awaited, by
// another one, and gives it a T or throws what it threw. Those that await each other form a chain,
// which spawn() begins; at any time the innermost of a chain runs, or waits for one operation of
// Asio, one of our sockets or an alarm.
//
// Asio's own awaitable does the same and more (cancellation, executors that are type-erased, types
// of handlers); a request awaits some ten coroutines, and this one costs a fifth of it: a frame
// from the thread's cache, and two jumps. There is no cancellation: whoever wants a wait to end
// closes the socket, wakes the alarm or cancels the timer.
#pragma once

#include <boost/asio/deferred.hpp>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>

#include "core/prefetch.hpp"

namespace spillway::server {

template <typename T>
class Awaitable;

// Runs when a chain has ended, with what its first coroutine threw or nullptr.
using OnEnd = std::function<void(std::exception_ptr)>;

// Begins a chain, on the caller's stack until it first waits; it then goes on where the operations
// it waits for complete, which have to be on one thread. Its coroutines are destroyed when it ends,
// or when what it waits for is. Without `on_end`, what it throws comes out of the event
// loop.
void spawn(Awaitable<void> first, OnEnd on_end = nullptr);

// The memory of ended coroutines that the calling thread has kept goes back to the heap.
void release_coroutine_memory();

namespace coroutine {

extern constinit thread_local std::uint64_t turn_under_way;  // for coroutine_turn()

void* allocate(std::size_t bytes);
void deallocate(void* frame, std::size_t bytes) noexcept;

// For what lives about as long as a coroutine does: memory from the same cache.
template <typename T>
struct Allocator {
  using value_type = T;

  Allocator() = default;
  template <typename U>
  Allocator(const Allocator<U>&) {}

  T* allocate(std::size_t count) { return static_cast<T*>(coroutine::allocate(count * sizeof(T))); }
  void deallocate(T* at, std::size_t count) noexcept {
    coroutine::deallocate(at, count * sizeof(T));
  }
  friend bool operator==(const Allocator&, const Allocator&) { return true; }
};

class Chain;

struct PromiseBase {
  Chain* chain = nullptr;
  std::coroutine_handle<> caller;  // null: the first of its chain
  std::exception_ptr error;

  static void* operator new(std::size_t bytes) { return allocate(bytes); }
  static void operator delete(void* frame, std::size_t bytes) { deallocate(frame, bytes); }

  std::suspend_always initial_suspend() const noexcept { return {}; }
  void unhandled_exception() noexcept { error = std::current_exception(); }
};

// One chain, owned by whoever will make it go on: the operation that it waits for, or the caller of
// run().
class Chain {
 public:
  Chain(Awaitable<void> first, OnEnd on_end);
  ~Chain();
  Chain(const Chain&) = delete;
  Chain& operator=(const Chain&) = delete;

  // Until the innermost coroutine waits, or all have ended; then the chain is gone.
  void run();

  // For the running coroutine, before it gives way: who is to run now.
  void go_on_with(std::coroutine_handle<> next) { next_ = next; }
  // The same: who is to run when what it waits for has come.
  void begin_wait(std::coroutine_handle<> waiting) {
    waiting_ = waiting;
    starting_ = true;
  }
  void wait_has_begun() { starting_ = false; }
  void wait_has_failed_to_begin() {
    starting_ = false;
    waiting_ = nullptr;
  }

  // The right to make a chain go on. Dropped unused, because what it waits for is gone, it ends it.
  class Waiting {
   public:
    explicit Waiting(Chain& chain) : chain_(&chain) {}
    Waiting(Waiting&& other) noexcept : chain_(std::exchange(other.chain_, nullptr)) {}
    Waiting& operator=(Waiting&&) = delete;
    ~Waiting() {
      if (chain_ && !chain_->starting_) delete chain_;
    }
    void go_on() { std::exchange(chain_, nullptr)->run(); }
    // Before go_on(), which needs the chain, and then the waiting coroutine's frame.
    void prefetch_chain() const { prefetch(chain_, chain_ + 1); }
    void prefetch_frame() const {
      constexpr std::size_t kBeginning = 256;  // bytes, of frames of some hundreds
      const auto* frame = static_cast<const char*>(chain_->waiting_.address());
      prefetch(frame, frame + kBeginning);
    }

   private:
    Chain* chain_;
  };

 private:
  std::coroutine_handle<> next_;
  std::coroutine_handle<> waiting_;
  std::coroutine_handle<> first_;
  PromiseBase& first_promise_;
  bool starting_ = false;  // the operation; if it cannot, the coroutine is told so by an exception
  OnEnd on_end_;
};

struct GiveWayToCaller {
  bool await_ready() const noexcept { return false; }
  template <typename P>
  void await_suspend(std::coroutine_handle<P> ended) const noexcept {
    PromiseBase& promise = ended.promise();
    promise.chain->go_on_with(promise.caller);
  }
  void await_resume() const noexcept {}
};

// What an operation of Asio completes with: nothing, or a number of bytes. Errors are taken out by
// to(ec).
template <typename Signature>
struct Outcome;
template <>
struct Outcome<void()> {
  void take() const {}
};
template <typename T>
struct Outcome<void(T)> {
  std::optional<std::decay_t<T>> value;
  std::decay_t<T> take() { return std::move(*value); }
};

// What the running coroutine does to wait: `start` is given the right to make it go on.
template <typename Start>
class Wait {
 public:
  explicit Wait(Start start) : start_(std::move(start)) {}

  bool await_ready() const noexcept { return false; }
  template <typename P>
  void await_suspend(std::coroutine_handle<P> waiting) {
    Chain& chain = *waiting.promise().chain;
    chain.begin_wait(waiting);
    try {
      start_(Chain::Waiting(chain));
    } catch (...) {
      chain.wait_has_failed_to_begin();
      throw;
    }
    chain.wait_has_begun();
  }
  void await_resume() const noexcept {}

 private:
  Start start_;
};

template <typename Operation>
class OperationAwaiter {
  using Result = Outcome<typename boost::asio::completion_signature_of<Operation>::type>;

 public:
  explicit OperationAwaiter(Operation operation) : operation_(std::move(operation)) {}

  bool await_ready() const noexcept { return false; }
  template <typename P>
  void await_suspend(std::coroutine_handle<P> waiting) {
    const auto start = [this](Chain::Waiting right) {
      std::move(operation_)(Handler(std::move(right), result_));
    };
    Wait(start).await_suspend(waiting);
  }
  decltype(auto) await_resume() { return result_.take(); }

 private:
  class Handler {
   public:
    Handler(Chain::Waiting waiting, Result& result)
        : waiting_(std::move(waiting)), result_(result) {}
    template <typename... T>
    void operator()(T&&... values) {
      if constexpr (sizeof...(T) > 0) result_.value.emplace(std::forward<T>(values)...);
      waiting_.go_on();
    }

   private:
    Chain::Waiting waiting_;
    Result& result_;
  };

  Operation operation_;
  Result result_;
};

struct AwaitingPromise : PromiseBase {
  GiveWayToCaller final_suspend() const noexcept { return {}; }

  template <typename T>
  auto await_transform(Awaitable<T> callee) {
    return typename Awaitable<T>::Awaiter(std::move(callee));
  }
  template <typename Start>
  Wait<Start> await_transform(Wait<Start> wait) {
    return wait;
  }
  template <typename Operation>
  requires(boost::asio::is_deferred<Operation>::value) auto await_transform(Operation operation) {
    return OperationAwaiter<Operation>(std::move(operation));
  }
};

template <typename T>
struct Promise : AwaitingPromise {
  std::optional<T> result;

  Awaitable<T> get_return_object();
  template <typename U = T>
  void return_value(U&& value) {
    result.emplace(std::forward<U>(value));
  }
  T take() {
    if (this->error) std::rethrow_exception(std::move(this->error));
    return std::move(*result);
  }
};

template <>
struct Promise<void> : AwaitingPromise {
  Awaitable<void> get_return_object();
  void return_void() const noexcept {}
  void take() {
    if (error) std::rethrow_exception(std::move(error));
  }
};

}  // namespace coroutine

// A number for what the calling thread's coroutines do until all of them wait or have ended; 0
// outside of them. What was found out in a turn, the time for one, holds good until it is over.
inline std::uint64_t coroutine_turn() {
  return coroutine::turn_under_way;
}

template <typename T>
class [[nodiscard]] Awaitable {
 public:
  using promise_type = coroutine::Promise<T>;

  Awaitable(Awaitable&& other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}
  Awaitable& operator=(Awaitable&&) = delete;
  ~Awaitable() {
    if (frame_) frame_.destroy();
  }

 private:
  friend promise_type;
  friend coroutine::AwaitingPromise;
  friend coroutine::Chain;

  class Awaiter {
   public:
    explicit Awaiter(Awaitable callee) : callee_(std::move(callee)) {}
    bool await_ready() const noexcept { return false; }
    template <typename P>
    void await_suspend(std::coroutine_handle<P> caller) noexcept {
      coroutine::PromiseBase& callee = callee_.frame_.promise();
      callee.chain = caller.promise().chain;
      callee.caller = caller;
      callee.chain->go_on_with(callee_.frame_);
    }
    T await_resume() { return callee_.frame_.promise().take(); }

   private:
    Awaitable callee_;
  };

  explicit Awaitable(std::coroutine_handle<promise_type> frame) : frame_(frame) {}

  std::coroutine_handle<promise_type> frame_;
};

template <typename T>
Awaitable<T> coroutine::Promise<T>::get_return_object() {
  return Awaitable<T>(std::coroutine_handle<Promise>::from_promise(*this));
}
inline Awaitable<void> coroutine::Promise<void>::get_return_object() {
  return Awaitable<void>(std::coroutine_handle<Promise>::from_promise(*this));
}

}  // namespace spillway::server
