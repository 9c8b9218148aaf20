// The changes that one deployment makes to one body, worked out member by member before any text is
// cut.
//
// Order, and why: what is the gateway's own goes first; `drop` speaks of the client's names;
// `rename` then gives the members the provider's names; `defaults` fill in what the request, under
// either name, does not say; `force` (responses only) has the last word; the clamps look at what
// results.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/body.hpp"
#include "core/config.hpp"

namespace spillway {

// A top-level member as it will be sent.
struct EditedMember {
  std::string name;
  const BodyMember* source = nullptr;  // where it stands in the client's body; nullptr: inserted
  bool dropped = false;
  std::optional<std::string> value;  // JSON text in place of the client's; always set if inserted

  bool renamed() const { return source != nullptr && name != source->key; }
};

// The recorded members of the body in body order, then the inserted ones.
std::vector<EditedMember> edit_members(std::string_view body, const BodyView& view,
                                       const BodyRules& rules, std::string_view upstream_model,
                                       Endpoint endpoint);

// [begin, end) of the body is replaced by `text`.
struct Cut {
  std::size_t begin = 0;
  std::size_t end = 0;
  std::string text;
};

// What turns every `content` array in `messages` (the array's text starts at `offset` of the body)
// that holds only text parts into one string: the parts' texts joined, spelled as the client
// spelled them.
std::vector<Cut> join_text_parts(std::string_view messages, std::size_t offset);

}  // namespace spillway
