#include <catch2/catch_test_macros.hpp>

#include "config/bounds.hpp"
#include "config/node.hpp"
#include "config/yaml_reader.hpp"

namespace spillway::config {
namespace {

struct Read {
  std::optional<Node> node;
  std::vector<Notice> faults;
};

Read read(std::string_view text) {
  Report report;
  const std::uint32_t file = report.add_file("f.yaml");
  auto node = read_yaml(text, file, report);
  if (node) assign_paths(*node, "");
  return {std::move(node), report.take_faults()};
}

TEST_CASE("YAML values know their line, column and path") {
  const Read result = read("a:\n  - b: 1\n    c: two\n");
  REQUIRE(result.faults.empty());
  const Node& c = *result.node->find("a")->items[0].find("c");
  CHECK(c.text == "two");
  CHECK(c.place.line == 3);
  CHECK(c.place.column == 8);
  CHECK(c.path == "a[0].c");
}

TEST_CASE("A key that is there twice is a fault at the second place") {
  const Read result = read("model:\n  - a: 1\n    a: 2\n");
  REQUIRE(result.faults.size() == 1);
  CHECK(to_string(result.faults[0]) == "f.yaml:3:5: model[0].a: is here twice; first on line 2");
}

TEST_CASE("Merge keys bring in a map's values behind the map's own") {
  const Read result = read("d: &d {x: 1, y: 2}\ne: &e {z: 3, x: 9}\nm:\n  <<: [*d, *e]\n  y: 5\n");
  REQUIRE(result.faults.empty());
  const Node& m = *result.node->find("m");
  CHECK(m.find("x")->text == "1");
  CHECK(m.find("y")->text == "5");
  CHECK(m.find("z")->text == "3");
  CHECK(m.find("<<") == nullptr);
}

TEST_CASE("Only maps can be merged") {
  CHECK(read("m:\n  <<: 5\n").faults.size() == 1);
}

TEST_CASE("Aliases are copies with the place of what they stand for") {
  const Read result = read("a: &x 7\nb: *x\n");
  CHECK(result.node->find("b")->text == "7");
  CHECK(result.node->find("b")->place.line == 1);
  CHECK(result.node->find("b")->path == "b");
}

TEST_CASE("An alias inside the value it stands for is a fault") {
  CHECK_FALSE(read("a: &x [*x]\n").faults.empty());
  CHECK_FALSE(read("a: &x\n  b: *x\n").faults.empty());
}

TEST_CASE("Aliases that multiply are stopped") {
  std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    const std::string before = "*a" + std::to_string(i - 1);
    text += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int k = 0; k < 10; ++k) text += (k > 0 ? ", " : "") + before;
    text += "]\n";
  }
  const Read result = read(text);
  REQUIRE(result.faults.size() == 1);
  CHECK(result.faults[0].message.find("more than") != std::string::npos);
}

TEST_CASE("Nesting is bounded, however it is written") {
  const std::size_t deep = kMaxDepth + 1;
  CHECK(
      read(std::string(kMaxDepth - 1, '[') + "x" + std::string(kMaxDepth - 1, ']')).faults.empty());
  CHECK_FALSE(read(std::string(deep, '[') + std::string(deep, ']')).faults.empty());
  CHECK_FALSE(read(std::string(100'000, '[')).faults.empty());
  std::string block;
  for (std::size_t i = 0; i < deep; ++i) block += std::string(i, ' ') + "a:\n";
  CHECK_FALSE(read(block + std::string(deep, ' ') + "b").faults.empty());
}

TEST_CASE("A second document in the file is a fault") {
  CHECK(read("a: 1\n---\nb: 2\n").faults.size() == 1);
  CHECK(read("---\na: 1\n").faults.empty());
}

TEST_CASE("Keys are plain text and tags are known ones") {
  CHECK(read("[a, b]: 1\n").faults.size() == 1);
  CHECK(read("? {a: 1}\n: 2\n").faults.size() == 1);
  CHECK(read("~: 1\n").faults.size() == 1);
  CHECK(read("a: !ENV X\n").faults.size() == 1);
  CHECK(read("a: !!str 5\n").node->find("a")->quoted);
}

TEST_CASE("Text that is not YAML is a fault with its line") {
  const Read result = read("a: 1\nb: [1, 2\nc: 3\n");
  REQUIRE_FALSE(result.node.has_value());
  REQUIRE(result.faults.size() == 1);
  CHECK(result.faults[0].line >= 2);
}

TEST_CASE("An empty file and one of comments are empty maps") {
  for (const std::string_view text : {"", "\n", "# nothing\n"}) {
    const Read result = read(text);
    REQUIRE(result.faults.empty());
    REQUIRE(result.node.has_value());
    CHECK(result.node->members.empty());
  }
}

TEST_CASE("The canonical text of a value does not depend on the order of keys") {
  const auto canonical_of = [](std::string_view text) { return canonical(*read(text).node); };
  CHECK(canonical_of("a: 1\nb: [x, y]\n") == canonical_of("b:\n  - x\n  - y\na: 1\n"));
  CHECK(canonical_of("a: 1\nb: 2\n") != canonical_of("a: 2\nb: 1\n"));
  CHECK(canonical_of("a: [x, y]\n") != canonical_of("a: [y, x]\n"));
  CHECK(canonical_of("a: [\"s1:y\"]\n") != canonical_of("a: [s, y]\n"));
}

}  // namespace
}  // namespace spillway::config
