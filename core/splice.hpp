// Turns a client's body into the body for one deployment by cutting and inserting text; every byte
// that no rule touches is the client's own, in place and uncopied.
#pragma once

#include <array>
#include <cstddef>
#include <forward_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/body.hpp"
#include "core/config.hpp"

namespace spillway {

// The pieces of a spliced body, in order. Views into the client's body stay valid only as long as
// that body does.
class SplicedBody {
 public:
  SplicedBody() = default;
  SplicedBody(SplicedBody&&) = default;  // a copy's views would point into the original
  SplicedBody& operator=(SplicedBody&&) = default;

  std::span<const std::string_view> pieces() const {
    return many_.empty() ? std::span(few_.data(), count_) : std::span(many_.data(), many_.size());
  }
  std::size_t size() const { return size_; }
  std::string to_string() const;

  void append_view(std::string_view text);  // `text` must outlive this object
  void append_owned(std::string text);

 private:
  std::array<std::string_view, 4> few_;   // enough for a replaced model
  std::size_t count_ = 0;                 // of these
  std::vector<std::string_view> many_;    // all of them, once there are more
  std::forward_list<std::string> owned_;  // a list, so that the views stay valid
  std::size_t size_ = 0;
};

// `view` must come from view_body(body, endpoint, config.read_keys). The deployment's BodyRules are
// applied (core/body_edits.hpp says in which order), and the upstream model replaces the value of
// `model`. The result is valid JSON.
SplicedBody splice(std::string_view body, const BodyView& view, const Deployment& deployment,
                   std::string_view upstream_model, Endpoint endpoint);

// The body with `text` as the beginning of the assistant's answer, behind the last of `messages`.
// nullopt: it has no such array.
std::optional<std::string> with_assistant_prefix(std::string_view body, const BodyView& view,
                                                 std::string_view text);

}  // namespace spillway
