#include <catch2/catch_test_macros.hpp>

#include "config/json_reader.hpp"
#include "config_support.hpp"

namespace spillway::config {
namespace {

struct Read {
  std::optional<Node> node;
  std::vector<Notice> faults;
};

Read read(std::string_view text) {
  Report report;
  const std::uint32_t file = report.add_file("f.json");
  auto node = read_json(text, file, report);
  return {std::move(node), report.take_faults()};
}

TEST_CASE("JSON values know their line and column") {
  const Read result = read("{\n\t\"a\": {\n\t\t\"b\": [1, \"two\"]\n\t}\n}\n");
  REQUIRE(result.faults.empty());
  const Node& two = result.node->find("a")->find("b")->items[1];
  CHECK(two.text == "two");
  CHECK(two.quoted);
  CHECK(two.place.line == 3);
  CHECK(two.place.column == 12);
}

TEST_CASE("JSON escapes, surrogate pairs and empty collections are read") {
  const Read result =
      read(R"({"a\u0062": "\ud83d\ude00\"\\", "l": [], "o": {}, "n": null, "t": true})");
  REQUIRE(result.faults.empty());
  CHECK(result.node->find("ab")->text == "\xF0\x9F\x98\x80\"\\");
  CHECK(result.node->find("l")->kind == NodeKind::sequence);
  CHECK(result.node->find("o")->members.empty());
  CHECK(result.node->find("n")->kind == NodeKind::null);
  CHECK(result.node->find("t")->text == "true");
}

TEST_CASE("A repeated JSON key is a fault") {
  const Read result = read("{\"a\": 1,\n \"\\u0061\": 2}");
  REQUIRE(result.faults.size() == 1);
  CHECK(result.faults[0].line == 2);
}

TEST_CASE("JSON errors name the line and never quote the text") {
  const Read result = read("{\n  \"api_key\": \"sk-very-secret\",\n  oops\n}");
  REQUIRE(result.faults.size() == 1);
  CHECK(result.faults[0].line == 3);
  CHECK(result.faults[0].message.find("secret") == std::string::npos);
  CHECK(result.faults[0].message.find("oops") == std::string::npos);
}

TEST_CASE("JSON nesting is bounded") {
  CHECK_FALSE(read(std::string(300, '[') + std::string(300, ']')).faults.empty());
  CHECK_FALSE(read(std::string(1'000'000, '[')).faults.empty());
}

TEST_CASE("Broken JSON of every cut is a fault and never more") {
  const std::string whole = R"({"a": [1, {"b": "c\u00e9\n"}], "d": -1.5e3, "e": null})";
  for (std::size_t length = 0; length < whole.size(); ++length) {
    CHECK(read(whole.substr(0, length)).faults.size() == 1);
  }
  CHECK(read(whole).faults.empty());
}

TEST_CASE("A configuration may be JSON, with tabs and escapes") {
  const auto result = testing::loaded(
      "{\n\t\"model_list\": [{\n\t\t\"model_name\": \"\\ud83d\\ude00\",\n\t\t\"litellm_params\": "
      "{\"model\": \"openai/x\", \"api_key\": \"k\"}\n\t}]\n}\n");
  CHECK(result.config.groups[0].name == "\xF0\x9F\x98\x80");
}

TEST_CASE("YAML in flow style is not mistaken for JSON") {
  const auto result = testing::loaded(
      "{model_list: [{model_name: m, litellm_params: {model: openai/x, api_key: k}}]}");
  CHECK(result.config.groups[0].name == "m");
}

}  // namespace
}  // namespace spillway::config
