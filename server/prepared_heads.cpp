#include "server/prepared_heads.hpp"

#include <algorithm>

#include "server/answer.hpp"
#include "server/upstream_head.hpp"

namespace spillway::server {

namespace {

Secret upstream_lines(const Deployment& deployment) {
  std::string lines = "Host: " + host_field(deployment.origin) + "\r\n";
  lines.append("Accept-Encoding: identity\r\n");
  const bool typed = std::ranges::find(deployment.headers, "content-type", &UpstreamHeader::name) !=
                     deployment.headers.end();
  if (!typed) lines.append("Content-Type: application/json\r\n");
  for (const UpstreamHeader& field : deployment.headers)
    lines.append(field.name).append(": ").append(field.value.reveal()).append("\r\n");
  return Secret(std::move(lines));
}

}  // namespace

PreparedHeads::PreparedHeads(const Config& config) {
  for (const Deployment& deployment : config.deployments) {
    upstream_.push_back(upstream_lines(deployment));
    std::string& lines = deployments_.emplace_back();
    append_header(lines, "x-spillway-deployment", deployment.id);
    append_header(lines, "x-spillway-provider", deployment.provider);
  }
  for (const ModelGroup& group : config.groups)
    append_header(groups_.emplace_back(), "x-spillway-model-group", group.name);
}

std::string host_field(const Origin& origin) {
  std::string host = bracketed(origin.host);
  const std::uint16_t usual = origin.tls ? 443 : 80;
  if (origin.port != usual) host += ':' + std::to_string(origin.port);
  return host;
}

}  // namespace spillway::server
