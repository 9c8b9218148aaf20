#include "server/body_reader.hpp"

#include <algorithm>
#include <boost/beast/http/basic_parser.hpp>
#include <optional>

#include "core/ascii.hpp"
#include "core/bounds.hpp"

namespace spillway::server {

namespace http = boost::beast::http;

namespace {

// What the decoder is shown instead of a head.
constexpr std::string_view kChunkedHead = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

}  // namespace

// Beast's parser driven by hand. It merges trailers into the header fields and bounds neither them
// nor chunk extensions; here trailers are dropped and both are bounded (facts: Beast's own
// http::async_read would let a peer end the process with a long trailer).
class ChunkDecoder : public http::basic_parser<false> {
 public:
  ChunkDecoder() {
    eager(true);
    header_limit(UINT32_MAX);
    body_limit(boost::none);  // bounded by whoever reads the body
    error_code ec;
    put(asio::const_buffer(kChunkedHead.data(), kChunkedHead.size()), ec);
    in_body_ = true;
  }

  std::size_t decode(std::string_view bytes, std::vector<std::string_view>& pieces,
                     error_code& ec) {
    pieces_ = &pieces;
    std::size_t taken = between_chunks_ ? pass_plain_chunks(bytes) : 0;
    if (!between_chunks_ || bytes.size() - taken > kChunkEnd.size())
      taken += decode_with_care(bytes.substr(taken), ec);
    pieces_ = nullptr;
    between_chunks_ = chunk_ended_ && bytes.size() - taken <= kChunkEnd.size();
    return taken;
  }

 private:
  // A chunk's data ends with it, and Beast takes it for the beginning of the next chunk.
  static constexpr std::string_view kChunkEnd = "\r\n";

  // Past the chunks that lie here whole and have nothing but a size and data, as those of a stream
  // of events do. Where Beast has not looked beyond a chunk it need not know of the next one.
  std::size_t pass_plain_chunks(std::string_view bytes) {
    std::string_view left = bytes;
    while (left.starts_with(kChunkEnd)) {
      std::string_view chunk = left.substr(kChunkEnd.size());
      const std::size_t size = take_plain_size(chunk);
      if (size == 0 || size > chunk.size()) break;
      pieces_->push_back(chunk.substr(0, size));
      left = chunk.substr(size);
    }
    return bytes.size() - left.size();
  }

  // Takes the line off that tells a chunk's size; 0: it says more, or is not all here.
  static std::size_t take_plain_size(std::string_view& chunk) {
    constexpr std::size_t kMostDigits = 6;
    std::size_t size = 0;
    for (std::size_t i = 0; i < chunk.size() && i <= kMostDigits; ++i) {
      const int digit = ascii::hex_value(chunk[i]);
      if (digit < 0) {
        if (!chunk.substr(i).starts_with(kChunkEnd)) return 0;
        chunk.remove_prefix(i + kChunkEnd.size());
        return size;
      }
      size = size * 16 + static_cast<std::size_t>(digit);
    }
    return 0;
  }

  std::size_t decode_with_care(std::string_view bytes, error_code& ec) {
    std::size_t taken = 0;
    while (taken < bytes.size() && !is_done() && !may_be_cut_last_chunk(bytes.substr(taken))) {
      const auto n = put(asio::const_buffer(bytes.data() + taken, bytes.size() - taken), ec);
      taken += n;
      if (ec == http::error::need_more) {
        ec = {};
        // Nothing but framing can be left over: a chunk header or trailers that do not end.
        if (bytes.size() - taken > bounds::kTrailerBytes) ec = http::error::header_limit;
        break;
      }
      if (ec || n == 0) break;
    }
    return taken;
  }

  // True if `rest` may be a last chunk whose empty line is yet to come, and there was no other
  // chunk: Beast asserts that it is not asked twice about less than five bytes.
  bool may_be_cut_last_chunk(std::string_view rest) const {
    constexpr std::size_t kLeast = sizeof "0\r\n\r\n" - 1;
    return !chunk_seen_ && rest.size() < kLeast && rest.starts_with('0');
  }

  void on_request_impl(http::verb, boost::beast::string_view, boost::beast::string_view, int,
                       error_code&) override {}
  void on_response_impl(int, boost::beast::string_view, int, error_code&) override {}
  void on_field_impl(http::field, boost::beast::string_view name, boost::beast::string_view value,
                     error_code& ec) override {
    if (!in_body_) return;
    trailer_bytes_ += name.size() + value.size() + 4;
    if (trailer_bytes_ > bounds::kTrailerBytes) ec = http::error::header_limit;
  }
  void on_header_impl(error_code&) override {}
  void on_body_init_impl(boost::optional<std::uint64_t> const&, error_code&) override {}
  std::size_t on_body_impl(boost::beast::string_view bytes, error_code&) override {
    return bytes.size();
  }
  void on_chunk_header_impl(std::uint64_t, boost::beast::string_view extensions,
                            error_code& ec) override {
    chunk_seen_ = true;
    chunk_ended_ = false;
    extension_bytes_ += extensions.size();
    if (extensions.size() > bounds::kChunkExtensionBytes ||
        extension_bytes_ > bounds::kChunkExtensionsTotal ||
        extensions.find('\n') != boost::beast::string_view::npos)
      ec = http::error::bad_chunk_extension;
  }
  std::size_t on_chunk_body_impl(std::uint64_t left, boost::beast::string_view bytes,
                                 error_code&) override {
    chunk_ended_ = left == bytes.size();
    if (!bytes.empty()) pieces_->emplace_back(bytes.data(), bytes.size());
    return bytes.size();
  }
  void on_finish_impl(error_code&) override {}

  std::vector<std::string_view>* pieces_ = nullptr;
  bool in_body_ = false;
  bool chunk_seen_ = false;
  bool chunk_ended_ = false;     // all of the data of the latest that Beast has seen is out
  bool between_chunks_ = false;  // and Beast has not looked beyond it
  std::size_t trailer_bytes_ = 0;
  std::size_t extension_bytes_ = 0;
};

BodyReader::BodyReader(BodyFraming framing, std::uint64_t length)
    : framing_(framing),
      left_(length),
      done_(framing == BodyFraming::none || (framing == BodyFraming::length && length == 0)) {
  if (framing_ == BodyFraming::chunked) chunks_ = std::make_unique<ChunkDecoder>();
}

BodyReader::~BodyReader() = default;
BodyReader::BodyReader(BodyReader&&) noexcept = default;
BodyReader& BodyReader::operator=(BodyReader&&) noexcept = default;

std::size_t BodyReader::read(std::string_view bytes, std::vector<std::string_view>& pieces,
                             error_code& ec) {
  ec = {};
  if (done_ || bytes.empty()) return 0;
  if (chunks_) {
    const std::size_t taken = chunks_->decode(bytes, pieces, ec);
    done_ = !ec && chunks_->is_done();
    return taken;
  }
  if (framing_ == BodyFraming::length) {
    bytes = bytes.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size())));
    left_ -= bytes.size();
    done_ = left_ == 0;
  }
  pieces.push_back(bytes);
  return bytes.size();
}

}  // namespace spillway::server
