#include <catch2/catch_test_macros.hpp>
#include <random>
#include <string>

#include "core/bounds.hpp"
#include "core/config.hpp"

namespace spillway {
namespace {

struct Models {
  Config config;

  GroupIndex add(std::string name) {
    const GroupIndex index{static_cast<std::uint32_t>(config.groups.size())};
    ModelGroup group;
    group.name = std::move(name);
    group.wildcard = group.name.find('*') != std::string::npos;
    if (group.wildcard) {
      config.wildcards.push_back(index);
    } else {
      config.exact_names.emplace(group.name, index);
    }
    config.groups.push_back(std::move(group));
    return index;
  }
};

using Captures = std::vector<std::string>;

// The reference: tries every length for each star, shortest first.
bool matches_slowly(std::string_view pattern, std::string_view text, Captures& captures) {
  if (pattern.empty()) return text.empty();
  if (pattern[0] != '*') {
    return !text.empty() && pattern[0] == text[0] &&
           matches_slowly(pattern.substr(1), text.substr(1), captures);
  }
  for (std::size_t length = 0; length <= text.size(); ++length) {
    captures.emplace_back(text.substr(0, length));
    if (matches_slowly(pattern.substr(1), text.substr(length), captures)) return true;
    captures.pop_back();
  }
  return false;
}

}  // namespace

TEST_CASE("an exact name wins over a wildcard, an unknown name is nothing") {
  Models models;
  const GroupIndex wildcard = models.add("groq/*");
  const GroupIndex exact = models.add("groq/llama");
  CHECK(find_model(models.config, "groq/llama") == ModelMatch{exact, {}});
  CHECK(find_model(models.config, "groq/other") == ModelMatch{wildcard, {"other"}});
  CHECK_FALSE(find_model(models.config, "gpt"));
  CHECK_FALSE(find_model(models.config, ""));
}

TEST_CASE("each of many names leads to its own group, and to the first that had it") {
  Models models;
  for (unsigned i = 0; i < 1000; ++i) models.add("model-" + std::to_string(i));
  models.config.exact_names.emplace("model-7", GroupIndex{8});
  for (std::uint32_t i = 0; i < 1000; ++i)
    REQUIRE(find_model(models.config, "model-" + std::to_string(i)) ==
            ModelMatch{GroupIndex{i}, {}});
  CHECK_FALSE(find_model(models.config, "model-1000"));
}

TEST_CASE("an alias leads one hop further, to exact names and wildcards") {
  Models models;
  const GroupIndex real = models.add("real");
  const GroupIndex wildcard = models.add("openai/*");
  models.config.aliases = {
      {"a", "real"}, {"b", "openai/x"}, {"c", "a"}, {"d", "gone"}, {"real2", "real"}};
  CHECK(find_model(models.config, "a") == ModelMatch{real, {}});
  CHECK(find_model(models.config, "b") == ModelMatch{wildcard, {"x"}});
  CHECK_FALSE(find_model(models.config, "c"));
  CHECK_FALSE(find_model(models.config, "d"));
}

TEST_CASE("an alias wins over a model of the same name") {
  Models models;
  models.add("gpt-4");
  const GroupIndex newer = models.add("gpt-5");
  models.config.aliases = {{"gpt-4", "gpt-5"}};
  CHECK(find_model(models.config, "gpt-4") == ModelMatch{newer, {}});
}

TEST_CASE("wildcards are tried in their given order") {
  Models models;
  const GroupIndex narrow = models.add("openai/gpt-*");
  const GroupIndex wide = models.add("openai/*");
  const GroupIndex all = models.add("*");
  CHECK(find_model(models.config, "openai/gpt-4") == ModelMatch{narrow, {"4"}});
  CHECK(find_model(models.config, "openai/o1") == ModelMatch{wide, {"o1"}});
  CHECK(find_model(models.config, "x/y/z") == ModelMatch{all, {"x/y/z"}});
}

TEST_CASE("each star captures as little as lets the rest match, slashes included") {
  struct Row {
    std::string pattern;
    std::string_view text;
    Captures captures;
  };
  const Row rows[] = {
      {"*/*", "a/b/c", {"a", "b/c"}}, {"a*c", "abcbc", {"bcb"}},
      {"*b*", "abab", {"a", "ab"}},   {"x-*-*-y", "x-1-2-3-y", {"1", "2-3"}},
      {"groq/*", "groq/", {""}},      {"**", "ab", {"", "ab"}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.pattern, row.text);
    Models models;
    const GroupIndex group = models.add(row.pattern);
    CHECK(find_model(models.config, row.text) == ModelMatch{group, row.captures});
  }
}

TEST_CASE("texts that lack a literal part do not match") {
  struct Row {
    std::string pattern;
    std::string_view text;
  };
  const Row rows[] = {
      {"groq/*", "groq"}, {"a*a", "a"}, {"*/x", "a/y"}, {"a*b*c", "acb"}, {"*-v1", "v1"}};
  for (const Row& row : rows) {
    CAPTURE(row.pattern, row.text);
    Models models;
    models.add(row.pattern);
    CHECK_FALSE(find_model(models.config, row.text));
  }
}

TEST_CASE("matching agrees with trying everything") {
  const auto seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 20000; ++round) {
    std::string pattern = "*", text;
    for (std::size_t i = random() % 6; i > 0; --i) pattern += "ab*"[random() % 3];
    if (random() % 2) pattern.insert(pattern.begin(), 'a');
    for (std::size_t i = random() % 9; i > 0; --i) text += "ab"[random() % 2];
    CAPTURE(pattern, text);
    Models models;
    const GroupIndex group = models.add(pattern);
    Captures captures;
    const bool expected = matches_slowly(pattern, text, captures);
    const auto match = find_model(models.config, text);
    REQUIRE(match.has_value() == expected);
    if (match) CHECK(*match == ModelMatch{group, captures});
  }
}

TEST_CASE("a name beyond the limit matches nothing, one at the limit does") {
  Models models;
  models.add("*");
  CHECK(find_model(models.config, std::string(bounds::kModelNameBytes, 'x')));
  CHECK_FALSE(find_model(models.config, std::string(bounds::kModelNameBytes + 1, 'x')));
}

TEST_CASE("substitution fills the stars in order and leaves those without a capture") {
  CHECK(substitute("gpt-4o", {"x"}) == "gpt-4o");
  CHECK(substitute("*", {"a/b"}) == "a/b");
  CHECK(substitute("m-*-*", {"1", "2"}) == "m-1-2");
  CHECK(substitute("m-*-*", {"1"}) == "m-1-*");
  CHECK(substitute("*", {"*"}) == "*");
  CHECK(substitute("", {}).empty());
}

}  // namespace spillway
