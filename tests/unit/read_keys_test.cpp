#include "core/read_keys.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace spillway;

TEST_CASE("A key that is read is found, with a place of its own") {
  const ReadKeys keys(std::vector<std::string>{"stream", "model", "messages", "max", "\xC3\xA9"});
  std::vector<bool> taken(keys.size());
  for (const std::string& name : keys.names()) {
    INFO(name);
    const auto place = keys.find(name);
    REQUIRE(place);
    REQUIRE(place->index < keys.size());
    CHECK_FALSE(taken[place->index]);
    taken[place->index] = true;
  }
}

TEST_CASE("A key that nobody reads is not found") {
  const ReadKeys keys(std::vector<std::string>{"model", "messages"});
  for (const char* name : {"", "m", "mode", "models", "Model", "zed", "\xFF"}) {
    INFO(name);
    CHECK_FALSE(keys.find(name));
  }
  CHECK_FALSE(ReadKeys().find("model"));
}

TEST_CASE("The empty key and one of any first byte have their place as well") {
  const ReadKeys keys(std::vector<std::string>{"", std::string(1, '\0'), "a", "\xFF"});
  CHECK(keys.size() == 4);
  for (const std::string& name : keys.names()) CHECK(keys.find(name));
}

TEST_CASE("What is named twice has one place, and names are told sorted") {
  const ReadKeys keys(std::vector<std::string>{"b", "a", "b"});
  CHECK(keys.names() == std::vector<std::string>{"a", "b"});
  CHECK(keys == ReadKeys(std::vector<std::string>{"a", "b"}));
}

TEST_CASE("The gateway's own keys are told from the provider's") {
  const ReadKeys keys(std::vector<std::string>{"model", "num_retries", "tags"});
  CHECK(keys.find("tags")->for_gateway);
  CHECK(keys.find("num_retries")->for_gateway);
  CHECK_FALSE(keys.find("model")->for_gateway);
}
