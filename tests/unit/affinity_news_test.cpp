#include "core/affinity_news.hpp"

#include <catch2/catch_test_macros.hpp>

#include "core/bounds.hpp"

namespace spillway {
namespace {

TEST_CASE("news of affinities read back as they were written") {
  const std::vector<AffinityNews> news{{0xffff0000ffff0000, seconds(3600), "groq 1"},
                                       {7, milliseconds(1), "x"}};
  const std::string text = to_string(news);
  CHECK(text == "ffff0000ffff0000 3600000 groq 1\n0000000000000007 1 x");
  CHECK(parse_affinity_news(text) == news);
}

TEST_CASE("what is no news of affinities is refused as a whole") {
  for (const std::string_view text :
       {"", "hello", "7", "7 1", "7 1 ", "7 0 x", "zz 1 x", "7 -1 x", "7 99999999999999 x",
        "7 1 x\n", "7 1 x\njunk", "11112222333344445 1 x"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_affinity_news(text));
  }
}

TEST_CASE("a message holds a bounded number of affinities") {
  std::vector<AffinityNews> news(bounds::kAffinityNewsBatch, {1, seconds(1), "x"});
  CHECK(parse_affinity_news(to_string(news)));
  news.push_back({1, seconds(1), "x"});
  CHECK_FALSE(parse_affinity_news(to_string(news)));
}

}  // namespace
}  // namespace spillway
