// Who may use the gateway.
#pragma once

#include <string>
#include <vector>

#include "core/config.hpp"
#include "server/client_request.hpp"

namespace spillway::server {

// The alias of the key the request presents, or nullptr if it presents none of `keys`. Keys are
// compared in constant time, all of them each time; only a key's length can show.
const std::string* authenticate(const std::vector<ClientKey>& keys, const ClientRequest& request);

}  // namespace spillway::server
