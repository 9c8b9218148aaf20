// Where a deployment's requests go and what they carry: origin, targets and headers, from its
// parameters, its provider and the environment.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "config/provider_choice.hpp"
#include "config/section.hpp"
#include "core/config.hpp"

namespace spillway::config {

// The parameters that say where to; read before the provider is known, since an api_base helps to
// find it.
struct Address {
  std::optional<std::string> api_base;
  std::optional<std::string> api_key;
  std::optional<std::string> api_version;
};

Address read_address(Section& params);

struct Upstream {
  Origin origin;
  std::array<std::string, kEndpointCount> targets;
  std::vector<UpstreamHeader> headers;
  std::string unusable;  // why it cannot be called
};

// `node` is the litellm_params map: the place of what has no better one.
Upstream resolve_upstream(const ProviderChoice& choice, const Address& address, Section& params,
                          const Node& node, Context& context);

// True if everything the provider needs is in the environment: it can be offered without a
// configuration.
bool ready_from_environment(const Provider& provider, const Variables& variables);

}  // namespace spillway::config
