// A value that must not be printed: it has no stream operator and no formatter, and is read only by
// name.
#pragma once

#include <string>
#include <string_view>
#include <utility>

namespace spillway {

class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string value) : value_(std::move(value)) {}

  // The only way out; every call site is a place to review.
  const std::string& reveal() const { return value_; }
  bool empty() const { return value_.empty(); }
  bool operator==(const Secret&) const = default;

 private:
  std::string value_;
};

}  // namespace spillway
