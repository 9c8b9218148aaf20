// What must hold of every configuration that is accepted, and of every fault of one that is not.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "config/load.hpp"
#include "core/head_check.hpp"
#include "fuzz.hpp"
#include "head_grammar.hpp"
#include "server/upstream_head.hpp"

namespace spillway::fuzz {

inline void check_notices(const std::vector<config::Notice>& notices, std::string_view text) {
  const auto lines = std::ranges::count(text, '\n') + std::ranges::count(text, '\r') + 1;
  for (const config::Notice& notice : notices) {
    expect(!notice.message.empty(), "a notice says what is wrong");
    expect(notice.line >= 0 && notice.column >= 0, "at a place");
    expect(notice.line <= lines + 1, "within the file");
  }
}

// Every head that a deployment can lead to is a whole and well-formed one.
inline void check_heads(const Config& config, DeploymentIndex index,
                        const server::PreparedHeads& prepared) {
  const Deployment& deployment = config.at(index);
  for (const EndpointTraits& traits : kEndpoints) {
    if (deployment.targets[static_cast<std::size_t>(traits.endpoint)].empty()) continue;
    const std::string head =
        server::upstream_head(prepared, config, index, traits.endpoint, deployment.model,
                              server::ClientRequest(), 2, nullptr);
    field_names(head);
    RequestHeadCheck check(HeadLimits{1 << 20, 1 << 12});
    const auto state = check.feed(head);
    if (state == RequestHeadCheck::State::bad)
      std::fprintf(stderr, "%s\n%s\n", check.fault().message.c_str(), head.c_str());
    expect(state == RequestHeadCheck::State::complete && check.head_bytes() == head.size(),
           "a head as we would accept it");
  }
}

inline void check_config(const Config& config) {
  const server::PreparedHeads prepared(config);
  for (std::uint32_t i = 0; i < config.deployments.size(); ++i) {
    const Deployment& deployment = config.deployments[i];
    expect(deployment.group.value < config.groups.size(), "a deployment belongs to a group");
    if (deployment.usable()) check_heads(config, DeploymentIndex{i}, prepared);
  }
  for (const ModelGroup& group : config.groups) {
    for (const DeploymentIndex index : group.deployments)
      expect(config.at(index).usable(), "a group offers what can be used");
    for (const DeploymentIndex index : group.left_out)
      expect(!config.at(index).usable(), "and leaves out what cannot");
  }
  for (const auto& [name, index] : config.exact_names)
    expect(index.value < config.groups.size(), "a name leads to a group");
  expect(std::ranges::is_sorted(config.read_keys.names()), "read keys are sorted");
}

}  // namespace spillway::fuzz
