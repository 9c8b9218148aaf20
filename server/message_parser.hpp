// Beast's HTTP parser driven by hand: it is fed bytes that were already read and hands back views
// into them. Heads go in only after core/head_check.hpp has accepted them; bodies come out
// de-chunked and uncopied.
//
// Beast merges trailers into the header fields and bounds neither them nor chunk extensions; here
// trailers are dropped and both are bounded (facts: Beast's own http::async_read would let a peer
// end the process with a long trailer).
#pragma once

#include <boost/beast/http/basic_parser.hpp>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "core/bounds.hpp"
#include "core/outcome.hpp"
#include "server/asio.hpp"

namespace spillway::server {

namespace http = boost::beast::http;

template <bool kIsRequest>
class MessageParser : public http::basic_parser<kIsRequest> {
 public:
  MessageParser() {
    this->eager(true);
    this->header_limit(UINT32_MAX);  // bounded by whoever reads the head
    this->body_limit(boost::none);   // bounded by whoever reads the body
  }

  // Parses as much of `bytes` as it can; `bytes` must lie in one place. Returns how much was taken;
  // what is left must be offered again with more behind it. The views in `body` point into `bytes`.
  std::size_t parse(std::string_view bytes, std::vector<std::string_view>& body, error_code& ec) {
    body_ = &body;
    const bool in_body = this->is_header_done();
    std::size_t taken = 0;
    while (taken < bytes.size() && !this->is_done() && !cut_last_chunk(bytes.substr(taken))) {
      const auto n = this->put(asio::const_buffer(bytes.data() + taken, bytes.size() - taken), ec);
      taken += n;
      if (ec == http::error::need_more) {
        ec = {};
        // Nothing but framing can be left over: a chunk header or trailers that do not end.
        if (in_body && bytes.size() - taken > bounds::kTrailerBytes) ec = http::error::header_limit;
        break;
      }
      if (ec || n == 0) break;
    }
    body_ = nullptr;
    return taken;
  }

  std::string_view method() const { return method_; }
  std::string_view target() const { return target_; }
  int status() const { return status_; }
  Headers headers() const { return headers_; }

 private:
  // True if `rest` is a last chunk whose empty line is yet to come, and there was no other chunk:
  // Beast asserts that it is not asked twice about less than five bytes, which this may be.
  bool cut_last_chunk(std::string_view rest) const {
    constexpr std::size_t kLeast = sizeof "0\r\n\r\n" - 1;
    return in_body_ && this->chunked() && !chunk_seen_ && rest.size() < kLeast &&
           rest.starts_with("0\r\n");
  }

  void on_request_impl(http::verb, boost::beast::string_view method,
                       boost::beast::string_view target, int, error_code&) override {
    method_ = {method.data(), method.size()};
    target_ = {target.data(), target.size()};
  }
  void on_response_impl(int code, boost::beast::string_view, int, error_code&) override {
    status_ = code;
  }
  void on_field_impl(http::field, boost::beast::string_view name, boost::beast::string_view value,
                     error_code& ec) override {
    if (in_body_) {  // a trailer
      trailer_bytes_ += name.size() + value.size() + 4;
      if (trailer_bytes_ > bounds::kTrailerBytes) ec = http::error::header_limit;
      return;
    }
    headers_.push_back(HeaderView{{name.data(), name.size()}, {value.data(), value.size()}});
  }
  void on_header_impl(error_code&) override { in_body_ = true; }
  void on_body_init_impl(boost::optional<std::uint64_t> const&, error_code&) override {}
  std::size_t on_body_impl(boost::beast::string_view bytes, error_code&) override {
    if (!bytes.empty()) body_->emplace_back(bytes.data(), bytes.size());
    return bytes.size();
  }
  void on_chunk_header_impl(std::uint64_t, boost::beast::string_view extensions,
                            error_code& ec) override {
    chunk_seen_ = true;
    extension_bytes_ += extensions.size();
    if (extensions.size() > bounds::kChunkExtensionBytes ||
        extension_bytes_ > bounds::kChunkExtensionsTotal ||
        extensions.find('\n') != boost::beast::string_view::npos)
      ec = http::error::bad_chunk_extension;
  }
  std::size_t on_chunk_body_impl(std::uint64_t, boost::beast::string_view bytes,
                                 error_code&) override {
    if (!bytes.empty()) body_->emplace_back(bytes.data(), bytes.size());
    return bytes.size();
  }
  void on_finish_impl(error_code&) override {}

  std::string_view method_, target_;
  int status_ = 0;
  std::vector<HeaderView> headers_;
  std::vector<std::string_view>* body_ = nullptr;
  bool in_body_ = false;
  bool chunk_seen_ = false;
  std::size_t trailer_bytes_ = 0;
  std::size_t extension_bytes_ = 0;
};

using RequestParser = MessageParser<true>;
using ResponseParser = MessageParser<false>;

}  // namespace spillway::server
