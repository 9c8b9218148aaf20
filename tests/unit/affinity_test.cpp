#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "attempt_scene.hpp"
#include "core/affinity.hpp"
#include "core/bounds.hpp"
#include "core/input_size.hpp"

using namespace spillway;
using namespace spillway::testing;

namespace {

const AffinityRules kAll{.session = true, .client_key = true, .prompt_prefix = true};

std::vector<std::string> keys() {
  std::vector<std::string> keys(core_read_keys().begin(), core_read_keys().end());
  std::ranges::sort(keys);
  return keys;
}

std::optional<std::uint64_t> affinity(const AffinityRules& rules, const std::string& body,
                                      const std::vector<HeaderView>& headers = {},
                                      std::string_view client_key = "") {
  const auto view = view_body(body, Endpoint::chat_completions, keys());
  REQUIRE(view);
  return affinity_of(rules, body, *view, headers, client_key);
}

std::string saying(std::string_view text, std::string_view members = "") {
  return R"({"model":"m","messages":[{"role":"user","content":")" + std::string(text) + R"("}])" +
         std::string(members) + "}";
}

std::uint64_t tokens(const std::string& body) {
  const auto view = view_body(body, Endpoint::chat_completions, keys());
  REQUIRE(view);
  return least_input_tokens(body, *view);
}

// A fleet that remembers one deployment.
class PinningFleet final : public Fleet {
 public:
  explicit PinningFleet(const Config& config) : fleet_(config, 7) {}
  Availability availability(DeploymentIndex d, TimePoint now) override {
    return fleet_.availability(d, now);
  }
  std::optional<Permit> begin(DeploymentIndex d, TimePoint now, DeploymentHealth::Force force,
                              std::uint64_t tokens = 0) override {
    return fleet_.begin(d, now, force, tokens);
  }
  HealthChange succeeded(const Permit& permit, TimePoint now) override {
    return fleet_.succeeded(permit, now);
  }
  HealthChange failed(const Permit& permit, const Failure& failure, Benching benching,
                      TimePoint now) override {
    return fleet_.failed(permit, failure, benching, now);
  }
  void give_back(const Permit& permit) override { fleet_.give_back(permit); }
  void end(const Permit& permit) override { fleet_.end(permit); }
  void count_request(GroupIndex group, TimePoint now) override { fleet_.count_request(group, now); }
  bool draw_retry(GroupIndex group, TimePoint now) override {
    return fleet_.draw_retry(group, now);
  }
  void give_back_retry(GroupIndex group) override { fleet_.give_back_retry(group); }
  Random& random() override { return fleet_.random(); }
  std::optional<DeploymentIndex> pinned(GroupIndex, std::uint64_t key, TimePoint) override {
    const auto found = pins.find(key);
    return found == pins.end() ? std::nullopt : std::optional(found->second);
  }
  void pin(GroupIndex, std::uint64_t key, DeploymentIndex deployment, TimePoint) override {
    pins[key] = deployment;
  }

  std::map<std::uint64_t, DeploymentIndex> pins;

 private:
  LocalFleet fleet_;
};

// The deployment that the first call of a request goes to.
std::uint32_t first_asked(const Config& config, Fleet& fleet, TimePoint now = kStart) {
  RequestTraits traits;
  traits.affinity = 42;
  AttemptLoop loop(config, fleet, {GroupIndex{0}, {}}, traits, now);
  const auto action = loop.next(attempt::Begin{}, now);
  REQUIRE(std::holds_alternative<attempt::Call>(action));
  loop.next(attempt::Completed{}, now);
  return std::get<attempt::Call>(action).deployment.value;
}

}  // namespace

TEST_CASE("others are told of a new pin, of another deployment, and of an end that moved far") {
  AffinityTable table(1);
  CHECK(table.remember(1, "a", seconds(100), kStart));
  CHECK_FALSE(table.remember(1, "a", seconds(100), kStart + seconds(40)));
  CHECK(table.remember(1, "a", seconds(100), kStart + seconds(60)));
  CHECK(table.remember(1, "b", seconds(100), kStart + seconds(61)));
}

TEST_CASE("what another instance remembers is remembered, and not told back") {
  AffinityTable table(1);
  table.remember(1, "a", seconds(100), kStart);
  table.learn(1, "b", seconds(100), kStart);
  CHECK(table.find(1, kStart) == "b");
  CHECK_FALSE(table.remember(1, "b", seconds(100), kStart + seconds(1)));
  CHECK_FALSE(table.find(1, kStart + seconds(200)));
}

TEST_CASE("an affinity is remembered until its time to live is over") {
  AffinityTable table(1);
  CHECK_FALSE(table.find(1, kStart));
  table.remember(1, "a", seconds(10), kStart);
  CHECK(table.find(1, kStart + seconds(9)) == "a");
  table.remember(1, "b", seconds(10), kStart + seconds(9));
  CHECK(table.find(1, kStart + seconds(18)) == "b");
  CHECK_FALSE(table.find(1, kStart + seconds(19)));
  CHECK(table.size() == 0);
}

TEST_CASE("the table of affinities is bounded, and the oldest make room") {
  AffinityTable table(1);
  for (std::uint64_t key = 0; key < bounds::kAffinityEntries; ++key)
    table.remember(key, "a", seconds(10), kStart);
  table.remember(0, "a", seconds(10), kStart);
  table.remember(bounds::kAffinityEntries, "a", seconds(10), kStart);
  CHECK(table.size() == bounds::kAffinityEntries);
  CHECK(table.find(0, kStart));
  CHECK_FALSE(table.find(1, kStart));
}

TEST_CASE("whoever chooses sessions does not choose where in the table they lie") {
  constexpr std::uint64_t kEntries = 1000;
  std::unordered_map<std::uint64_t, int> of_the_same_size;
  for (std::uint64_t i = 0; i < kEntries; ++i) of_the_same_size.emplace(i, 0);
  const std::uint64_t buckets = of_the_same_size.bucket_count();
  AffinityTable table(20261121);
  for (std::uint64_t i = 0; i < kEntries; ++i)
    table.remember(i * buckets, "a", seconds(10), kStart);
  REQUIRE(table.size() == kEntries);
  CHECK(table.longest_bucket() < 20);
}

TEST_CASE("a session id in the body or a header makes requests belong together") {
  const auto one = affinity(kAll, saying("x", R"(,"litellm_session_id":"s1")"));
  REQUIRE(one);
  CHECK(one == affinity(kAll, saying("y"), {{"x-litellm-session-id", "s1"}}, "key"));
  CHECK(one == affinity(kAll, saying("y"), {{"X-LiteLLM-Trace-Id", "s1"}}));
  CHECK(one != affinity(kAll, saying("x"), {{"x-litellm-session-id", "s2"}}));
  CHECK_FALSE(affinity({}, saying("x"), {{"x-litellm-session-id", "s1"}}));
}

TEST_CASE("without a session the client's key counts, then a long beginning") {
  const std::string start(bounds::kAffinityPrefixBytes, 'p');
  CHECK(affinity(kAll, saying("x"), {}, "team") == affinity(kAll, saying("y"), {}, "team"));
  CHECK(affinity(kAll, saying(start + "x")) == affinity(kAll, saying(start + "y")));
  CHECK(affinity(kAll, saying(start)) != affinity(kAll, saying("q" + start)));
  CHECK_FALSE(affinity(kAll, saying("short")));
  CHECK_FALSE(affinity({.client_key = true}, saying(start)));
  CHECK(affinity(kAll, saying("x"), {}, "s1") !=
        affinity(kAll, saying("x"), {{"x-litellm-session-id", "s1"}}));
}

TEST_CASE("a request stays with the deployment that answered the one before") {
  const Config config = group_of(5);
  PinningFleet fleet(config);
  const std::uint32_t first = first_asked(config, fleet);
  for (int i = 0; i < 20; ++i) CHECK(first_asked(config, fleet) == first);
}

TEST_CASE("a deployment that cools is left, and whoever answers instead is stayed with") {
  const Config config = group_of(3);
  PinningFleet fleet(config);
  const std::uint32_t first = first_asked(config, fleet);
  const auto permit = fleet.begin(DeploymentIndex{first}, kStart, DeploymentHealth::Force::no);
  fleet.failed(*permit, failed_with(ErrorClass::rate_limit, seconds(60)), Benching::allowed,
               kStart);
  fleet.end(*permit);
  const std::uint32_t second = first_asked(config, fleet);
  CHECK(second != first);
  CHECK(first_asked(config, fleet, kStart + seconds(100)) == second);
}

TEST_CASE("affinity does not outrank the operator's order") {
  Config config = group_of(2);
  config.deployments[0].order = 1;
  config.deployments[1].order = 2;
  PinningFleet fleet(config);
  fleet.pins[42] = DeploymentIndex{1};
  CHECK(first_asked(config, fleet) == 0);
}

TEST_CASE("the size of an input is counted from its texts only, and downwards") {
  CHECK(tokens(saying(std::string(8000, 'x'))) == 1000);
  CHECK(tokens(R"({"model":"m","messages":[{"role":"user","content":[)"
               R"({"type":"text","text":"12345678"},{"type":"text","text":"12345678"},)"
               R"({"type":"image_url","image_url":{"url":"data:)" +
               std::string(8000, 'A') + R"("}}]}]})") == 2);
  CHECK(tokens(R"({"model":"m","messages":[null,{"content":null},{"content":[7]}]})") == 0);
  CHECK(tokens(R"({"model":"m","prompt":")" + std::string(8000, 'x') + "\"}") == 0);
}

TEST_CASE("an escaped character counts no more than its bytes") {
  // By count: one of two bytes, one of one, two of three, four of four.
  std::string escaped;
  for (int i = 0; i < 8; ++i) escaped += "\\u00e9\\n\\u4e2d\\ud83d\\ude00";
  CHECK(tokens(saying(escaped)) == 8 * (1 + 1 + 2 + 4) / 8);
}
