// A client's request as the session hands it on. The views point into its own head.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/head_check.hpp"
#include "core/outcome.hpp"
#include "core/time.hpp"

namespace spillway::server {

struct ClientRequest {
  ClientRequest() = default;
  ClientRequest(const ClientRequest&) = delete;
  ClientRequest& operator=(const ClientRequest&) = delete;

  std::vector<char> head;          // as received
  std::vector<HeaderView> fields;  // what `headers` shows
  std::string_view method;
  std::string_view path;   // without the query; origin-form
  std::string_view query;  // without its '?'
  Headers headers;
  BodyFraming framing = BodyFraming::none;
  std::uint64_t content_length = 0;
  bool http_1_0 = false;
  bool keep_alive = true;
  bool expect_continue = false;
  std::string id;        // x-request-id: the client's if sane, else made
  std::string key_name;  // alias of the key that was presented; empty: none was wanted
  std::string body;
  TimePoint head_at{};   // the head was complete
  TimePoint ready_at{};  // the body was complete

  // It stays for long: only what it needs.
  void tighten() {
    fields.shrink_to_fit();
    headers = fields;
  }

  // Nothing of the body is still to come.
  bool whole() const {
    return framing == BodyFraming::none ||
           (framing == BodyFraming::length && body.size() == content_length);
  }
  std::optional<std::string_view> header(std::string_view name) const {
    return find_header(headers, name);
  }
};

}  // namespace spillway::server
