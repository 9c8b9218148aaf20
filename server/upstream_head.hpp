// The request head that goes to a provider, built from an allow-list and never by copying: a
// client's credentials, cookies and hop-by-hop fields cannot get through because nobody passes them
// on.
#pragma once

#include <string>
#include <string_view>

#include "core/config.hpp"
#include "server/client_request.hpp"
#include "server/prepared_heads.hpp"

namespace spillway::server {

struct ProxyRoute;

// A host as it stands in front of a port: IPv6 addresses in brackets.
std::string bracketed(const std::string& host);

// One contiguous block, with its empty line; `prepared` is of `config`. `plain_proxy` is set when
// the request goes to a proxy that forwards it (http:// upstreams), nullptr otherwise.
std::string upstream_head(const PreparedHeads& prepared, const Config& config,
                          DeploymentIndex asked, Endpoint endpoint, std::string_view upstream_model,
                          const ClientRequest& request, std::size_t body_bytes,
                          const ProxyRoute* plain_proxy);

}  // namespace spillway::server
