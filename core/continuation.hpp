// Which requests' streams another deployment may go on with, should they break, and how it may be
// asked to (DESIGN.md section 6). What was sent until then decides the rest
// (core/stream_transcript.hpp), and who is left to ask (core/attempt_loop.hpp).
#pragma once

#include <string_view>

#include "core/body.hpp"
#include "core/config.hpp"
#include "core/endpoint.hpp"

namespace spillway {

// True if the request wants a stream of one choice's text and is small enough to be kept while that
// lasts. `view` is that of `body`.
bool may_be_continued(Endpoint endpoint, std::string_view body, const BodyView& view);

// True if the answer to `body` can be asked for by its beginning. It cannot where what is asked of
// the whole answer would be applied to its rest alone: a limit of tokens, a stop sequence, a
// format. Nor where the request brings the beginning of an answer along.
bool continues_by_prefix(std::string_view body);

// True if the deployment continues a prefix, and adds nothing to the request that forbids it.
bool continues_by_prefix(const Deployment& deployment);

}  // namespace spillway
