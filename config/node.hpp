// The tree that YAML and JSON are read into: plain values that know where they stand.
//
// Why not yaml-cpp's own nodes: they keep duplicate keys silently, may form cycles through aliases,
// and cannot be made from JSON with positions. Here aliases are copies, keys are unique strings,
// and depth and size are bounded.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "config/report.hpp"

namespace spillway::config {

enum class NodeKind : std::uint8_t { null, scalar, sequence, map };

struct Member;

struct Node {
  NodeKind kind = NodeKind::null;
  bool quoted = false;  // a scalar that is a string whatever it looks like
  std::string text;     // of a scalar; environment references are still in it
  std::vector<Node> items;
  std::vector<Member> members;
  Place place;
  std::string path;  // "model_list[0].litellm_params.model"

  // The value of a map's key, or nullptr.
  const Node* find(std::string_view key) const;
};

struct Member {
  std::string key;
  Place place;
  Node value;
};

// Names every node below `node`, whose own path is `path`.
void assign_paths(Node& node, std::string path);

// Nodes in the tree, itself included.
std::size_t count_nodes(const Node& node);

// A text that is equal for equal values, whatever the order of keys: the input of deployment ids.
std::string canonical(const Node& node);

// "a map", "a list", ...: for messages.
std::string_view kind_name(const Node& node);

Node make_scalar(std::string text, const Node& like);

}  // namespace spillway::config
