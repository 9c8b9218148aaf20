#include "config/upstream_headers.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace spillway::config {

namespace {

// Written by the transport itself, or meant for one connection only.
constexpr std::array<std::string_view, 10> kReserved{
    "host",       "content-length",      "transfer-encoding", "connection", "te",
    "keep-alive", "proxy-authorization", "trailer",           "upgrade",    "expect"};

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return out;
}

// RFC 9110 section 5.6.2.
bool token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    return letter || std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  });
}

}  // namespace

std::string header_fault(std::string_view name, std::string_view value) {
  if (!token(name)) return "holds a header name that HTTP does not allow";
  const std::string folded = lower(name);
  if (std::find(kReserved.begin(), kReserved.end(), folded) != kReserved.end()) {
    return fmt::format("the header {} cannot be set: Spillway writes it itself", folded);
  }
  const bool control = std::any_of(value.begin(), value.end(), [](char c) {
    return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7F;
  });
  if (control)
    return fmt::format("the value for {} holds a line break or control character", folded);
  return {};
}

std::string header_left_out(std::string_view name) {
  const bool encoding = lower(name) == "accept-encoding";
  return encoding
             ? "is not sent: Spillway reads what providers answer, and asks for it uncompressed"
             : "";
}

void set_header(std::vector<UpstreamHeader>& headers, std::string_view name, std::string value) {
  const std::string folded = lower(name);
  std::erase_if(headers, [&](const UpstreamHeader& header) { return header.name == folded; });
  headers.push_back({.name = folded, .value = Secret(std::move(value))});
}

}  // namespace spillway::config
