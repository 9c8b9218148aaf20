// Puts a head together: all of its pieces at once, since each append of its own costs a call and a
// look at how much room is left.
#pragma once

#include <cstring>
#include <string>
#include <string_view>

namespace spillway::server {

// `pieces` are std::string_views, or become ones, none of them of `text`.
template <typename... Pieces>
void append_all(std::string& text, const Pieces&... pieces) {
  const std::size_t before = text.size();
  const auto write = [](std::string_view piece, char* at) {
    if (!piece.empty()) std::memcpy(at, piece.data(), piece.size());
    return at + piece.size();
  };
  const std::size_t size = before + (std::string_view(pieces).size() + ...);
  text.resize_and_overwrite(size, [&](char* data, std::size_t) {
    char* at = data + before;
    ((at = write(std::string_view(pieces), at)), ...);
    return size;
  });
}

}  // namespace spillway::server
