#include "core/splice.hpp"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <random>

#include "core/gateway_body_keys.hpp"

namespace spillway {
namespace {

std::vector<std::string> read_keys(const BodyRules& rules) {
  std::vector<std::string> keys;
  for (const std::string_view key : core_read_keys()) keys.emplace_back(key);
  for (const auto& [from, to] : rules.rename) keys.insert(keys.end(), {fold(from), fold(to)});
  for (const auto& [name, text] : rules.defaults) keys.push_back(fold(name));
  for (const auto& [name, text] : rules.force) keys.push_back(fold(name));
  for (const std::string& name : rules.drop) keys.push_back(fold(name));
  std::ranges::sort(keys);
  keys.erase(std::ranges::unique(keys).begin(), keys.end());
  return keys;
}

std::string spliced(const std::string& body, const BodyRules& rules = {},
                    Endpoint endpoint = Endpoint::chat_completions) {
  CAPTURE(body);
  const auto view = view_body(body, endpoint, read_keys(rules));
  REQUIRE(view);
  Deployment deployment;
  deployment.body = rules;
  const SplicedBody result = splice(body, *view, deployment, "up/\"m\"", endpoint);
  CHECK(result.size() == result.to_string().size());
  CHECK(is_json(result.to_string()));
  return result.to_string();
}

const std::string kModel = R"("up/\"m\"")";

TEST_CASE("The model is replaced in place and every other byte stays") {
  CHECK(spliced("\t{ \"x\" : 1e400 , \"mod\\u0065l\"\n:\r\"a\" , \"y\":-0.0, "
                "\"z\":\"\\u00e9\xC3\xA9\"} ") == "\t{ \"x\" : 1e400 , \"mod\\u0065l\"\n:\r" +
                                                      kModel +
                                                      " , \"y\":-0.0, \"z\":\"\\u00e9\xC3\xA9\"} ");
}

TEST_CASE("What is the gateway's or LiteLLM's proxy's own is cut out, and nothing else") {
  for (const std::string_view key : kGatewayBodyKeys) {
    const std::string own(key);
    CHECK(spliced("{\"model\":\"a\", \"" + own + "\" : {\"k\":[1]} ,\"seed\": 1.0}") ==
          "{\"model\":" + kModel + ", \"seed\": 1.0}");
    CHECK(spliced("{\"model\":\"a\", \"my_" + own + "\" : 1}") ==
          "{\"model\":" + kModel + ", \"my_" + own + "\" : 1}");
  }
  for (const std::string_view secret : {"user_config", "cache", "mock_response"})
    CHECK(std::ranges::find(kGatewayBodyKeys, secret) != kGatewayBodyKeys.end());
}

TEST_CASE("Untouched bytes are not copied") {
  const std::string body = R"({"model":"a","messages":[]})";
  const auto view = view_body(body, Endpoint::chat_completions, read_keys({}));
  REQUIRE(view);
  const SplicedBody result = splice(body, *view, Deployment{}, "b", Endpoint::chat_completions);
  REQUIRE(result.pieces().size() == 3);
  CHECK(result.pieces()[0].data() == body.data());
  CHECK(result.pieces()[2].data() == body.data() + 12);
}

TEST_CASE("A moved body keeps its pieces") {
  const std::string body = R"({"model":"a"})";
  const auto view = view_body(body, Endpoint::chat_completions, read_keys({}));
  SplicedBody first = splice(body, *view, Deployment{}, "b", Endpoint::chat_completions);
  const SplicedBody second = std::move(first);
  CHECK(second.to_string() == R"({"model":"b"})");
}

TEST_CASE("A renamed key keeps its value and its place") {
  BodyRules rules;
  rules.rename = {{"max_completion_tokens", "max_tokens"}};
  CHECK(spliced(R"({"max_completion_tokens" : 5,"model":"a"})", rules) ==
        R"({"max_tokens" : 5,"model":)" + kModel + "}");
}

TEST_CASE("A renamed key gives way to the provider's own name") {
  BodyRules rules;
  rules.rename = {{"max_completion_tokens", "max_tokens"}};
  CHECK(spliced(R"({"max_completion_tokens":5,"model":"a","max_tokens":7})", rules) ==
        R"({"model":)" + kModel + R"(,"max_tokens":7})");
}

TEST_CASE("Two keys renamed to one leave the first") {
  BodyRules rules;
  rules.rename = {{"a", "c"}, {"b", "c"}};
  CHECK(spliced(R"({"a":1,"b":2,"model":"m"})", rules) == R"({"c":1,"model":)" + kModel + "}");
}

TEST_CASE("Defaults are appended only if absent, in whatever case the request spells others") {
  BodyRules rules;
  rules.defaults = {{"a", "1"}, {"b", R"({"c":[]})"}};
  CHECK(spliced(R"({"model":"m" })", rules) ==
        R"({"model":)" + kModel + R"( ,"a":1,"b":{"c":[]}})");
  CHECK(spliced(R"({"a":null,"model":"m","b":2})", rules) ==
        R"({"a":null,"model":)" + kModel + R"(,"b":2})");
  CHECK(spliced(R"({"A":2,"model":"m","b":2})", rules) ==
        R"({"A":2,"model":)" + kModel + R"(,"b":2,"a":1})");
}

TEST_CASE("The request's value wins over a default under either name") {
  BodyRules rules;
  rules.rename = {{"max_completion_tokens", "max_tokens"}};
  rules.defaults = {{"max_completion_tokens", "100"}};
  CHECK(spliced(R"({"model":"m"})", rules) == R"({"model":)" + kModel + R"(,"max_tokens":100})");
  CHECK(spliced(R"({"model":"m","max_tokens":1})", rules) ==
        R"({"model":)" + kModel + R"(,"max_tokens":1})");
  CHECK(spliced(R"({"model":"m","max_completion_tokens":1})", rules) ==
        R"({"model":)" + kModel + R"(,"max_tokens":1})");
}

TEST_CASE("A dropped key is not brought back by a default") {
  BodyRules rules;
  rules.defaults = {{"a", "1"}};
  rules.drop = {"a"};
  CHECK(spliced(R"({"a":2,"model":"m"})", rules) == R"({"model":)" + kModel + "}");
}

TEST_CASE("Forced values replace or are appended, for responses only") {
  BodyRules rules;
  rules.force = {{"store", "false"}};
  CHECK(spliced(R"({"store":true,"model":"m"})", rules, Endpoint::responses) ==
        R"({"store":false,"model":)" + kModel + "}");
  CHECK(spliced(R"({"model":"m"})", rules, Endpoint::responses) ==
        R"({"model":)" + kModel + R"(,"store":false})");
  CHECK(spliced(R"({"model":"m"})", rules) == R"({"model":)" + kModel + "}");
}

TEST_CASE("Dropped members take exactly one comma each") {
  BodyRules rules;
  rules.drop = {"a", "b", "c"};
  const std::string m = R"("model":)" + kModel;
  CHECK(spliced(R"({"a":1,"model":"m"})", rules) == "{" + m + "}");
  CHECK(spliced(R"({"model":"m","a":1})", rules) == "{" + m + "}");
  CHECK(spliced(R"({"x":0,"a":1,"model":"m"})", rules) == R"({"x":0,)" + m + "}");
  CHECK(spliced(R"({"a":1,"b":2,"model":"m"})", rules) == "{" + m + "}");
  CHECK(spliced(R"({"model":"m","a":1,"b":2,"c":3})", rules) == "{" + m + "}");
  CHECK(spliced(R"({"a":1,"model":"m","b":2})", rules) == "{" + m + "}");
  CHECK(spliced(R"({"a":1,"x":0,"b":2,"model":"m","c":3})", rules) == R"({"x":0,)" + m + "}");
  CHECK(spliced("{ \"model\":\"m\" ,\n \"a\" : {} ,\t\"b\":[] }", rules) == "{ " + m + "  }");
  CHECK(spliced("{ \"a\" : {} ,\t\"b\":[]\n,\"model\":\"m\" }", rules) == "{ " + m + " }");
}

TEST_CASE("The model is neither dropped, renamed nor forced away") {
  BodyRules rules;
  rules.rename = {{"model", "x"}, {"y", "model"}};
  rules.force = {{"model", "1"}};
  rules.drop = {"model"};
  CHECK(spliced(R"({"model":"m","y":1})", rules, Endpoint::responses) ==
        R"({"model":)" + kModel + "}");
}

TEST_CASE("Members dropped at the end and one inserted make one comma") {
  BodyRules rules;
  rules.defaults = {{"z", "9"}};
  rules.drop = {"a", "b"};
  CHECK(spliced(R"({"model":"m","a":1,"b":2})", rules) == R"({"model":)" + kModel + R"(,"z":9})");
}

struct Clamp {
  std::string temperature, expected;
};

TEST_CASE("Temperature is clamped, and an allowed one keeps its spelling") {
  BodyRules rules;
  rules.temperature_max = 1.99;
  rules.temperature_min = 0.01;
  const auto [given, expected] =
      GENERATE(Clamp{"2", "1.99"}, Clamp{"1.990", "1.990"}, Clamp{"0", "0.01"},
               Clamp{"-0.0", "0.01"}, Clamp{"1e400", "1.99"}, Clamp{"0.1e400", "1.99"},
               Clamp{"-1e400", "0.01"}, Clamp{"1e-400", "0.01"}, Clamp{"1E0", "1E0"},
               Clamp{"null", "null"}, Clamp{"\"hot\"", "\"hot\""}, Clamp{"[3]", "[3]"});
  CHECK(spliced(R"({"temperature":)" + given + R"(,"model":"m"})", rules) ==
        R"({"temperature":)" + expected + R"(,"model":)" + kModel + "}");
}

TEST_CASE("Temperature is raised when several choices are asked for") {
  BodyRules rules;
  rules.temperature_min_with_n_gt_1 = 0.3;
  const std::string model = R"("model":)" + kModel;
  CHECK(spliced(R"({"temperature":0,"n":2,"model":"m"})", rules) ==
        R"({"temperature":0.3,"n":2,)" + model + "}");
  CHECK(spliced(R"({"temperature":0,"n":1,"model":"m"})", rules) ==
        R"({"temperature":0,"n":1,)" + model + "}");
  CHECK(spliced(R"({"temperature":0,"model":"m"})", rules) == R"({"temperature":0,)" + model + "}");
  CHECK(spliced(R"({"temperature":0.5,"n":2,"model":"m"})", rules) ==
        R"({"temperature":0.5,"n":2,)" + model + "}");
}

TEST_CASE("A default temperature is clamped too") {
  BodyRules rules;
  rules.defaults = {{"temperature", "3"}};
  rules.temperature_max = 1;
  CHECK(spliced(R"({"model":"m"})", rules) == R"({"model":)" + kModel + R"(,"temperature":1})");
}

std::string joined(const std::string& messages) {
  BodyRules rules;
  rules.content_list_to_string = true;
  const std::string body = R"({"model":"m","messages":)" + messages + "}";
  const std::string head = R"({"model":)" + kModel + R"(,"messages":)";
  const std::string result = spliced(body, rules);
  REQUIRE(result.starts_with(head));
  return result.substr(head.size(), result.size() - head.size() - 1);
}

TEST_CASE("Text parts become one string, spelled as the client did") {
  CHECK(joined(R"([{"role":"user","content":[{"type":"text","text":"a\u00e9\n"},)"
               R"( {"text":"b","type":"text"} ]}])") ==
        R"([{"role":"user","content":"a\u00e9\nb"}])");
  CHECK(joined(R"([{"content":[{"type":"text","text":""}]},{"x":[],)"
               R"("content":[{"type":"text","text":"c"}],"y":1}])") ==
        R"([{"content":""},{"x":[],"content":"c","y":1}])");
  CHECK(joined(R"([{"content":[]}])") == R"([{"content":""}])");
  CHECK(joined(R"([{"content":[{"type":"text","text":"a","cache_control":{}}]}])") ==
        R"([{"content":"a"}])");
}

TEST_CASE("Content that holds more than text is left as it is") {
  const std::string messages =
      GENERATE(R"([{"content":"x"},{"content":null},7,[],{"content":{"type":"text","text":"a"}}])",
               R"([{"content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{}}]}])",
               R"([{"content":["a"]}])", R"([{"content":[{"type":"text"}]}])",
               R"([{"content":[{"type":"text","text":1}]}])", R"([{"content":[{"text":"a"}]}])",
               R"([{"content":[{"type":"text","text":"a","text":"b"}]}])",
               R"([{"content":[{"type":"text","type":"image","text":"a"}]}])",
               R"([{"tool":{"content":[{"type":"text","text":"a"}]}}])");
  CHECK(joined(messages) == messages);
}

TEST_CASE("Text parts are joined only where the provider wants it") {
  const std::string body = R"({"messages":[{"content":[{"type":"text","text":"a"}]}],"model":"m"})";
  CHECK(spliced(body).find(R"("content":[{)") != std::string::npos);
}

// --- property: outside of the edits nothing changes ---------------------------------------------

struct RandomMember {
  std::string key, before, middle, value, after;
  std::string text() const { return quote(key) + middle + value; }
};

class BodyMaker {
 public:
  explicit BodyMaker(unsigned seed) : random_(seed) {}

  std::vector<RandomMember> members() {
    std::vector<std::string> keys{
        "model", "a", "b", "c", "d", "max_tokens", "seed", "\xF0\x9F\x98\x80", "x y"};
    std::ranges::shuffle(keys, random_);
    keys.resize(1 + random_() % keys.size());
    if (std::ranges::find(keys, "model") == keys.end()) keys.back() = "model";
    std::vector<RandomMember> members;
    for (const std::string& key : keys) {
      const std::string value = key == "model" ? "\"m\"" : this->value(0);
      members.push_back({key, space(), space() + ":" + space(), value, space()});
    }
    return members;
  }

  std::vector<std::string> some_of(std::vector<std::string> names) {
    std::ranges::shuffle(names, random_);
    names.resize(random_() % (names.size() + 1));
    return names;
  }

 private:
  std::string space() {
    const std::vector<std::string> spaces{"", "", " ", "\n", "\t", "\r\n  "};
    return spaces[random_() % spaces.size()];
  }

  std::string value(int depth) {
    const std::vector<std::string> scalars{"1e400",
                                           "-0.0",
                                           "12345678901234567890123",
                                           "true",
                                           "null",
                                           "\"\"",
                                           "\"\\u00e9\\\\\\\"\"",
                                           "\"\xF0\x9F\x98\x80,}\"",
                                           "0.1E-7",
                                           "\"\\ud83d\\ude00\""};
    if (depth > 2 || random_() % 3 != 0) return scalars[random_() % scalars.size()];
    if (random_() % 2 == 0) return "[" + value(depth + 1) + space() + "," + value(depth + 1) + "]";
    return "{" + space() + "\"model\":" + value(depth + 1) + "}";
  }

  std::mt19937 random_;
};

TEST_CASE("For random bodies and rules, what no rule touches is sent byte for byte") {
  const auto seed = GENERATE(range(1u, 500u));
  CAPTURE(seed);
  BodyMaker maker(seed);
  const std::vector<RandomMember> members = maker.members();
  std::string body = "{";
  for (const RandomMember& member : members) {
    if (body.size() > 1) body += ",";
    body += member.before + member.text() + member.after;
  }
  body += "}";
  BodyRules rules;
  rules.drop = maker.some_of({"a", "b", "c"});
  for (const std::string& name : maker.some_of({"d", "e"}))
    rules.defaults.emplace_back(name, "[7]");

  const std::string result = spliced(body, rules);
  CAPTURE(result);
  std::size_t at = 0;
  for (const RandomMember& member : members) {
    const bool dropped = std::ranges::find(rules.drop, member.key) != rules.drop.end();
    const std::string sent =
        member.key == "model" ? quote("model") + member.middle + kModel : member.text();
    const std::size_t found = result.find(sent, at);
    if (!dropped) {
      REQUIRE(found != std::string::npos);
      at = found + sent.size();
    }
  }
  for (const auto& [name, text] : rules.defaults) {
    const bool asked = std::ranges::find(members, name, &RandomMember::key) != members.end();
    const bool inserted = result.find(quote(name) + ":[7]", at) != std::string::npos;
    CHECK(inserted != asked);
  }
  if (rules.drop.empty() && rules.defaults.empty()) {
    std::string expected = body;
    const auto view = view_body(body, Endpoint::chat_completions, read_keys(rules));
    const BodyMember* model = view->find("model");
    expected.replace(model->value_begin, model->value_end - model->value_begin, kModel);
    CHECK(result == expected);
  }
}

TEST_CASE("Dropped members are gone from random bodies, and the others are there once") {
  const auto seed = GENERATE(range(1u, 300u));
  CAPTURE(seed);
  BodyMaker maker(seed);
  const std::vector<RandomMember> members = maker.members();
  std::string body = "{";
  for (const RandomMember& member : members) {
    if (body.size() > 1) body += ",";
    body += member.before + member.text() + member.after;
  }
  body += "}";
  BodyRules rules;
  rules.drop = maker.some_of({"a", "b", "c", "d", "seed", "x y"});
  const std::string result = spliced(body, rules);
  std::vector<std::string> keys;
  for (const RandomMember& member : members) keys.push_back(member.key);
  std::ranges::sort(keys);
  const auto sent = view_body(result, Endpoint::chat_completions, keys);
  REQUIRE(sent);
  std::vector<std::string> expected, got;
  for (const RandomMember& member : members) {
    if (std::ranges::find(rules.drop, member.key) == rules.drop.end())
      expected.push_back(member.key);
  }
  for (const BodyMember& member : sent->members) got.push_back(member.key);
  CHECK(got == expected);
}

}  // namespace
}  // namespace spillway
