#include "config/node.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace spillway::config {

const Node* Node::find(std::string_view key) const {
  const auto found = std::find_if(members.begin(), members.end(),
                                  [&](const Member& member) { return member.key == key; });
  return found == members.end() ? nullptr : &found->value;
}

void assign_paths(Node& node, std::string path) {
  for (std::size_t i = 0; i < node.items.size(); ++i) {
    assign_paths(node.items[i], fmt::format("{}[{}]", path, i));
  }
  for (Member& member : node.members) {
    assign_paths(member.value, path.empty() ? member.key : path + "." + member.key);
  }
  node.path = std::move(path);
}

std::size_t count_nodes(const Node& node) {
  std::size_t count = 1;
  for (const Node& item : node.items) count += count_nodes(item);
  for (const Member& member : node.members) count += count_nodes(member.value);
  return count;
}

std::string canonical(const Node& node) {
  // Lengths are written in front, so that no text can imitate structure.
  const auto counted = [](std::string_view text) {
    return fmt::format("{}:{}", text.size(), text);
  };
  switch (node.kind) {
    case NodeKind::null:
      return "n";
    case NodeKind::scalar:
      return "s" + counted(node.text);
    case NodeKind::sequence: {
      std::string out = fmt::format("l{}", node.items.size());
      for (const Node& item : node.items) out += canonical(item);
      return out;
    }
    case NodeKind::map: {
      std::vector<std::string> parts;
      for (const Member& member : node.members) {
        parts.push_back(counted(member.key) + canonical(member.value));
      }
      std::sort(parts.begin(), parts.end());
      return fmt::format("m{}{}", parts.size(), fmt::join(parts, ""));
    }
  }
  return {};
}

std::string_view kind_name(const Node& node) {
  switch (node.kind) {
    case NodeKind::null:
      return "nothing";
    case NodeKind::scalar:
      return "a single value";
    case NodeKind::sequence:
      return "a list";
    case NodeKind::map:
      return "a map";
  }
  return {};
}

Node make_scalar(std::string text, const Node& like) {
  Node node;
  node.kind = NodeKind::scalar;
  node.quoted = true;
  node.text = std::move(text);
  node.place = like.place;
  node.path = like.path;
  return node;
}

}  // namespace spillway::config
