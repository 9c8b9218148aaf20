// What the heads of requests and answers say the same each time, made once for each configuration:
// a head is then put together from a few blocks.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/config.hpp"
#include "core/secret.hpp"

namespace spillway::server {

struct PreparedHeads {
  explicit PreparedHeads(const Config& config);

  // Lines of a request to the deployment that do not depend on the request, from Host on: what it
  // is configured to be sent, and so with its credentials.
  const Secret& upstream(DeploymentIndex deployment) const { return upstream_[deployment.value]; }
  // Lines of an answer: which deployment gave it, and the model group that was asked for.
  std::string_view named(DeploymentIndex deployment) const {
    return deployments_[deployment.value];
  }
  std::string_view named(GroupIndex group) const { return groups_[group.value]; }

 private:
  std::vector<Secret> upstream_;
  std::vector<std::string> deployments_;
  std::vector<std::string> groups_;
};

// The value of Host.
std::string host_field(const Origin& origin);

}  // namespace spillway::server
