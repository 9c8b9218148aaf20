// Splits an API base such as "https://api.groq.com/openai/v1/" into where to connect and the path
// in front of every endpoint. Nothing here may make a `//` in a request target.
#pragma once

#include <expected>
#include <string>
#include <string_view>

#include "core/config.hpp"

namespace spillway::config {

struct BaseUrl {
  Origin origin;
  std::string path;  // "/openai/v1"; "" for none; never ends in '/'
  bool operator==(const BaseUrl&) const = default;
};

// http and https only; no user name, query or fragment. A base that already ends in
// /chat/completions (as some documentations print it) loses that ending. The error never repeats
// the URL: it may hold a password.
std::expected<BaseUrl, std::string> parse_base_url(std::string_view text);

// "https://api.groq.com", "http://[::1]:8000": for tables and messages.
std::string to_string(const Origin& origin);

}  // namespace spillway::config
