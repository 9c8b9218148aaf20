// Reads a request's own settings (core/request_options.hpp) from its body and its headers.
//
// In the body they are members of LiteLLM's names, which no provider is sent; where body and header
// say the same thing, the body counts. A value of the wrong type, out of bounds, or naming a model
// that is not configured is the client's mistake and named as such: what is asked for is never
// silently left undone, except for what steers parts of LiteLLM's proxy that do not exist here (its
// cache, its queue, its mock answers). Such members are cut out as well: they may hold what is not
// meant for a provider.
#pragma once

#include <expected>
#include <string_view>

#include "core/body.hpp"
#include "core/config.hpp"
#include "core/outcome.hpp"
#include "core/request_options.hpp"

namespace spillway {

// `view` must come from view_body(body, ...) with core_read_keys() among its keys.
std::expected<RequestOptions, BodyError> read_request_options(const Config& config,
                                                              std::string_view body,
                                                              const BodyView& view,
                                                              Headers headers);

}  // namespace spillway
