// A function to be called later, in half the room of std::function. What it captures is kept in
// place if it fits into a pointer and may be copied as bytes, as that of `[this] { ... }` does, and
// else on the heap.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <new>
#include <type_traits>
#include <utility>

namespace spillway::server {

class Callback {
 public:
  Callback(std::nullptr_t) {}  // is never called
  template <std::invocable Function>
  Callback(Function function) {
    if constexpr (sizeof(Function) <= sizeof kept_ && alignof(Function) <= alignof(void*) &&
                  std::is_trivially_copyable_v<Function>) {
      new (kept_.data()) Function(function);
      act_ = [](Act act, void* kept) {
        if (act == Act::call) (*static_cast<Function*>(kept))();
      };
    } else {
      new (kept_.data()) Function*(new Function(std::move(function)));
      act_ = [](Act act, void* kept) {
        Function* const own = *static_cast<Function**>(kept);
        if (act == Act::call)
          (*own)();
        else
          delete own;
      };
    }
  }
  Callback(Callback&& other) noexcept
      : act_(std::exchange(other.act_, nullptr)), kept_(other.kept_) {}
  Callback& operator=(Callback&&) = delete;
  ~Callback() {
    if (act_) act_(Act::drop, kept_.data());
  }

  void operator()() { act_(Act::call, kept_.data()); }

 private:
  enum class Act { call, drop };
  void (*act_)(Act act, void* kept) = nullptr;
  alignas(void*) std::array<std::byte, sizeof(void*)> kept_{};
};

}  // namespace spillway::server
