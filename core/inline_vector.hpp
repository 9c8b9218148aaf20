// A list that only grows, whose first few elements need no memory of their own: for what is nearly
// always one or two.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

namespace spillway {

template <typename T, std::size_t Inline>
class InlineVector {
 public:
  void push_back(T value) {
    if (size_ < Inline) {
      first_[size_++] = std::move(value);
      return;
    }
    if (size_ == Inline) all_.assign(first_.begin(), first_.end());
    all_.push_back(std::move(value));
    ++size_;
  }
  std::size_t size() const { return size_; }
  // Until the next push_back().
  std::span<const T> view() const { return {size_ > Inline ? all_.data() : first_.data(), size_}; }

 private:
  std::array<T, Inline> first_{};
  std::vector<T> all_;  // once there are more than fit inline
  std::size_t size_ = 0;
};

}  // namespace spillway
