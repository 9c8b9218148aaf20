#include "config/yaml_reader.hpp"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <map>
#include <sstream>
#include <utility>

#include "config/bounds.hpp"

namespace spillway::config {

namespace {

// A collection whose end has not been seen yet.
struct Open {
  Node node;
  YAML::anchor_t anchor = 0;
  std::optional<std::pair<std::string, Place>> key;  // of a map: read, its value is next
  bool skip = false;                                 // the key was refused; drop its value too
  bool merge = false;                                // the key is `<<`
  std::vector<Node> merged;                          // values of `<<`
};

class TreeBuilder final : public YAML::EventHandler {
 public:
  TreeBuilder(std::uint32_t file, Report& report) : file_(file), report_(report) {}

  Node take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override;
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override;
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override;
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value style) override;
  void OnSequenceEnd() override;
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value style) override;
  void OnMapEnd() override;

 private:
  Place place_of(const YAML::Mark& mark) const {
    return {.file = file_, .line = mark.line + 1, .column = mark.column + 1};
  }
  void count(std::size_t nodes, const YAML::Mark& mark);
  void open(NodeKind kind, const YAML::Mark& mark, YAML::anchor_t anchor);
  void close();
  void add(Node node, YAML::anchor_t anchor);
  void accept_key(Open& map, const Node& key);
  void accept_value(Open& map, Node value);
  void merge(Open& map);
  std::string path_to(std::string_view key) const;

  std::uint32_t file_;
  Report& report_;
  Node root_;
  std::vector<Open> open_;
  std::map<YAML::anchor_t, Node> anchors_;
  std::size_t nodes_ = 0;
};

void TreeBuilder::count(std::size_t nodes, const YAML::Mark& mark) {
  nodes_ += nodes;
  if (nodes_ > kMaxNodes) {
    throw YAML::ParserException(mark, fmt::format("more than {} values", kMaxNodes));
  }
}

void TreeBuilder::OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) {
  count(1, mark);
  Node node;
  node.place = place_of(mark);
  add(std::move(node), anchor);
}

void TreeBuilder::OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) {
  const auto found = anchors_.find(anchor);
  if (found == anchors_.end()) {
    throw YAML::ParserException(mark, "an alias inside the value it stands for");
  }
  count(count_nodes(found->second), mark);
  add(found->second, 0);
}

void TreeBuilder::OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                           const std::string& value) {
  count(1, mark);
  Node node;
  node.kind = NodeKind::scalar;
  node.text = value;
  node.place = place_of(mark);
  node.quoted = tag == "!" || tag == "tag:yaml.org,2002:str";
  const bool known =
      tag.empty() || tag == "?" || tag == "!" || tag.starts_with("tag:yaml.org,2002:");
  if (!known) report_.fault(node.place, "", fmt::format("the tag {} is not known", tag));
  add(std::move(node), anchor);
}

void TreeBuilder::open(NodeKind kind, const YAML::Mark& mark, YAML::anchor_t anchor) {
  count(1, mark);
  if (open_.size() >= kMaxDepth) {
    throw YAML::ParserException(mark, fmt::format("nested deeper than {} levels", kMaxDepth));
  }
  Open opened;
  opened.node.kind = kind;
  opened.node.place = place_of(mark);
  opened.anchor = anchor;
  open_.push_back(std::move(opened));
}

void TreeBuilder::OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                                  YAML::EmitterStyle::value) {
  open(NodeKind::sequence, mark, anchor);
}

void TreeBuilder::OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                             YAML::EmitterStyle::value) {
  open(NodeKind::map, mark, anchor);
}

void TreeBuilder::OnSequenceEnd() {
  close();
}

void TreeBuilder::OnMapEnd() {
  merge(open_.back());
  close();
}

void TreeBuilder::close() {
  Open closed = std::move(open_.back());
  open_.pop_back();
  add(std::move(closed.node), closed.anchor);
}

void TreeBuilder::add(Node node, YAML::anchor_t anchor) {
  if (anchor != 0) {
    YAML::Mark mark;
    mark.line = node.place.line - 1;
    mark.column = node.place.column - 1;
    count(count_nodes(node), mark);
    anchors_[anchor] = node;
  }
  if (open_.empty()) {
    root_ = std::move(node);
    return;
  }
  Open& parent = open_.back();
  if (parent.node.kind == NodeKind::sequence) {
    parent.node.items.push_back(std::move(node));
  } else if (!parent.key) {
    accept_key(parent, node);
  } else {
    accept_value(parent, std::move(node));
  }
}

void TreeBuilder::accept_key(Open& map, const Node& key) {
  map.key.emplace(key.text, key.place);
  map.merge = key.kind == NodeKind::scalar && !key.quoted && key.text == "<<";
  map.skip = key.kind != NodeKind::scalar;
  if (map.skip) report_.fault(key.place, "", "a key must be a plain text");
}

void TreeBuilder::accept_value(Open& map, Node value) {
  auto [key, place] = *map.key;
  map.key.reset();
  if (map.skip) return;
  if (map.merge) {
    map.merged.push_back(std::move(value));
    return;
  }
  const auto& members = map.node.members;
  const auto earlier = std::find_if(members.begin(), members.end(),
                                    [&](const Member& member) { return member.key == key; });
  if (earlier != members.end()) {
    report_.fault(place, path_to(key),
                  fmt::format("is here twice; first on line {}", earlier->place.line));
    return;
  }
  map.node.members.push_back({.key = std::move(key), .place = place, .value = std::move(value)});
}

std::string TreeBuilder::path_to(std::string_view key) const {
  std::string path;
  for (const Open& open : open_) {
    if (open.node.kind == NodeKind::sequence) path += fmt::format("[{}]", open.node.items.size());
    if (open.node.kind == NodeKind::sequence || !open.key) continue;
    path += (path.empty() ? "" : ".") + open.key->first;
  }
  return path + (path.empty() ? "" : ".") + std::string(key);
}

void TreeBuilder::merge(Open& map) {
  const auto merge_one = [&](Node& source) {
    if (source.kind != NodeKind::map) {
      report_.fault(source.place, "<<", "only maps can be merged");
      return;
    }
    for (Member& member : source.members) {
      if (map.node.find(member.key) == nullptr) map.node.members.push_back(std::move(member));
    }
  };
  for (Node& source : map.merged) {
    if (source.kind != NodeKind::sequence) {
      merge_one(source);
      continue;
    }
    for (Node& item : source.items) merge_one(item);
  }
}

}  // namespace

std::optional<Node> read_yaml(std::string_view text, std::uint32_t file, Report& report) {
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    TreeBuilder builder(file, report);
    if (!parser.HandleNextDocument(builder)) {
      Node empty;
      empty.kind = NodeKind::map;
      empty.place = {.file = file, .line = 0, .column = 0};
      return empty;
    }
    TreeBuilder rest(file, report);
    if (parser.HandleNextDocument(rest)) {
      report.fault({.file = file, .line = 0, .column = 0}, "",
                   "more than one YAML document in the file");
    }
    return builder.take();
  } catch (const YAML::Exception& error) {
    const bool somewhere = !error.mark.is_null();
    report.fault({.file = file,
                  .line = somewhere ? error.mark.line + 1 : 0,
                  .column = somewhere ? error.mark.column + 1 : 0},
                 "", "is not YAML here: " + error.msg);
  } catch (const std::exception& error) {
    report.fault({.file = file, .line = 0, .column = 0}, "",
                 fmt::format("cannot be read as YAML: {}", error.what()));
  }
  return std::nullopt;
}

}  // namespace spillway::config
