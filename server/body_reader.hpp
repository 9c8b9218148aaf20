// A message's body, taken out of its framing as the head announced it: by length, in chunks, or up
// to the end of the connection. It is fed bytes that were already read and hands back views into
// them, uncopied.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "core/head_check.hpp"
#include "server/asio.hpp"

namespace spillway::server {

class ChunkDecoder;

class BodyReader {
 public:
  // `length` is that of BodyFraming::length.
  BodyReader(BodyFraming framing, std::uint64_t length);
  ~BodyReader();
  BodyReader(BodyReader&&) noexcept;
  BodyReader& operator=(BodyReader&&) noexcept;

  // Takes as much of `bytes` as belongs to the body, and appends what the body says to `pieces`.
  // Returns how much was taken; what is left must be offered again with more behind it, unless the
  // body is done. `ec`: the framing is broken or out of bounds.
  std::size_t read(std::string_view bytes, std::vector<std::string_view>& pieces, error_code& ec);

  bool done() const { return done_; }
  // Only the end of the connection ends the body.
  bool until_close() const { return framing_ == BodyFraming::until_close; }
  void closed() { done_ = done_ || until_close(); }

 private:
  BodyFraming framing_;
  std::uint64_t left_;
  bool done_;
  std::unique_ptr<ChunkDecoder> chunks_;
};

}  // namespace spillway::server
