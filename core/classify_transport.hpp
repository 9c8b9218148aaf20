// Classification of calls that got no complete HTTP answer; a part of classify() in
// core/outcome.hpp.
#pragma once

#include <string>

#include "core/outcome.hpp"

namespace spillway {

Failure classify_transport(const TransportFailure& transport, const UpstreamName& upstream);

// One line of at most bounds::kErrorMessageBytes, cut between characters. Control characters become
// spaces.
std::string presentable_message(std::string text);

}  // namespace spillway
