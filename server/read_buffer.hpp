// The one buffer that all of a worker's plain connections read into. A connection that waits needs
// no memory for what has not arrived; what has arrived is used at once, or taken home before
// somebody else reads.
#pragma once

#include <array>
#include <cstddef>
#include <span>

namespace spillway::server {

class ReadBuffer {
 public:
  // Somebody whose bytes lie in the buffer for longer than until its next wait.
  class Borrower {
   public:
    Borrower() = default;
    Borrower(const Borrower&) = delete;
    Borrower& operator=(const Borrower&) = delete;

   protected:
    ~Borrower() {
      if (from_ && from_->borrower_ == this) from_->borrower_ = nullptr;
    }

   private:
    friend class ReadBuffer;
    // Somebody else is about to read: what is still wanted must be copied now.
    virtual void take_home() = 0;
    ReadBuffer* from_ = nullptr;
  };

  // All of it, for what `borrower` reads now.
  std::span<char> lend(Borrower& borrower) {
    evict();
    borrower_ = &borrower;
    borrower.from_ = this;
    return bytes_;
  }
  // For what is used before anything is waited for.
  std::span<char> use() {
    evict();
    return bytes_;
  }

 private:
  void evict() {
    Borrower* const before = borrower_;
    borrower_ = nullptr;
    if (before) before->take_home();
  }

  std::array<char, 64 * 1024> bytes_;
  Borrower* borrower_ = nullptr;
};

}  // namespace spillway::server
