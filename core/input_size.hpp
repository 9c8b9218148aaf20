// How long a request's input is at least, told cheaply and without a tokenizer: for passing by a
// context window that it is known not to fit (`enable_pre_call_checks`).
//
// The count errs downwards on purpose, since a deployment that is passed by wrongly is an answer
// lost, while one that is asked in vain says so itself. Only the texts of messages are counted
// (not images, audio, tools or ids), and a token is taken to be eight bytes of UTF-8; English has
// about four, Chinese and Japanese about three to five, code about three. So a request is passed
// by from about twice a window on.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/body.hpp"

namespace spillway {

// `view` must come from view_body(body, ...). 0 where the endpoint has no `messages`.
std::uint64_t least_input_tokens(std::string_view body, const BodyView& view);

}  // namespace spillway
