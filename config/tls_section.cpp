#include "config/tls_section.hpp"

#include <fmt/format.h>

#include <utility>

namespace spillway::config {

namespace {

NamedFile read_file_name(Section& section, std::string_view key, const Node& place,
                         Context& context) {
  const Node* node = section.get(key);
  if (node == nullptr) {
    context.fault(place, fmt::format("{} is missing: the path of a PEM file", key));
    return {};
  }
  const auto name = section.file(key);
  if (name && name->empty()) context.fault(*node, "must be the path of a PEM file");
  return name.value_or(NamedFile{});
}

}  // namespace

std::optional<TlsSettings> read_tls(Section& spillway, Context& context) {
  if (!spillway.has("tls")) return std::nullopt;
  const Node& node = *spillway.member("tls");
  Section section(&node, context, OnMissing::fault);
  TlsSettings settings;
  if (node.kind == NodeKind::map || node.kind == NodeKind::null) {
    settings.certificate = read_file_name(section, "certificate", node, context);
    settings.key = read_file_name(section, "key", node, context);
    if (section.has("client_ca"))
      settings.client_ca = read_file_name(section, "client_ca", node, context);
  }
  if (const auto version = section.text("min_version")) {
    if (*version == "1.3")
      settings.min_version = TlsVersion::v1_3;
    else if (*version != "1.2")
      context.fault(*section.get("min_version"), "must be \"1.2\" or \"1.3\"");
  }
  section.finish();
  return settings;
}

}  // namespace spillway::config
