#include "server/outbox.hpp"

#include <string_view>
#include <utility>

#include "server/socket.hpp"

namespace spillway::server {

bool Outbox::put(Socket& socket, std::span<const asio::const_buffer> buffers, std::size_t bytes) {
  if (!open_ || bytes > kMostBytes) return false;
  if (letter_count_ == letters_.size() || bytes > bytes_.size() - used_) hand_over();
  const std::size_t begin = used_;
  asio::buffer_copy(asio::buffer(bytes_) + begin, buffers);
  used_ += bytes;
  const auto end = static_cast<std::uint32_t>(used_);
  if (letter_count_ > 0 && letters_[letter_count_ - 1].socket == &socket)
    letters_[letter_count_ - 1].end = end;
  else
    letters_[letter_count_++] = {&socket, static_cast<std::uint32_t>(begin), end};
  return true;
}

void Outbox::hand_over() {
  // None of them puts anything in.
  const std::size_t count = std::exchange(letter_count_, 0);
  used_ = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const Letter& letter = letters_[i];
    letter.socket->hand_over({bytes_.data() + letter.begin, letter.end - letter.begin});
  }
}

}  // namespace spillway::server
