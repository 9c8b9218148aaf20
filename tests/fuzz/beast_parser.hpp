// Beast's HTTP parser over bytes that are already there: a second opinion on heads.
#pragma once

#include <boost/beast/http/basic_parser.hpp>
#include <cstdint>
#include <string_view>
#include <vector>

#include "core/outcome.hpp"
#include "server/asio.hpp"

namespace spillway::fuzz {

namespace beast = boost::beast::http;

template <bool kIsRequest>
class BeastParser : public beast::basic_parser<kIsRequest> {
 public:
  BeastParser() {
    this->eager(false);
    this->header_limit(UINT32_MAX);
    this->body_limit(boost::none);
  }

  // A whole head, with its empty line; false: refused.
  bool parse(std::string_view head) {
    server::error_code ec;
    this->put(server::asio::const_buffer(head.data(), head.size()), ec);
    return !ec && this->is_header_done();
  }

  std::string_view method() const { return method_; }
  std::string_view target() const { return target_; }
  int status() const { return status_; }
  Headers headers() const { return headers_; }

 private:
  using Text = boost::beast::string_view;
  using Code = server::error_code;
  void on_request_impl(beast::verb, Text method, Text target, int, Code&) override {
    method_ = {method.data(), method.size()};
    target_ = {target.data(), target.size()};
  }
  void on_response_impl(int code, Text, int, Code&) override { status_ = code; }
  void on_field_impl(beast::field, Text name, Text value, Code&) override {
    headers_.push_back(HeaderView{{name.data(), name.size()}, {value.data(), value.size()}});
  }
  void on_header_impl(Code&) override {}
  void on_body_init_impl(boost::optional<std::uint64_t> const&, Code&) override {}
  std::size_t on_body_impl(Text bytes, Code&) override { return bytes.size(); }
  void on_chunk_header_impl(std::uint64_t, Text, Code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, Text bytes, Code&) override { return bytes.size(); }
  void on_finish_impl(Code&) override {}

  std::string_view method_, target_;
  int status_ = 0;
  std::vector<HeaderView> headers_;
};

using RequestParser = BeastParser<true>;
using ResponseParser = BeastParser<false>;

}  // namespace spillway::fuzz
