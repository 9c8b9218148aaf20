#include "core/body.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <nlohmann/json.hpp>
#include <random>

#include "core/bounds.hpp"

namespace spillway {
namespace {

using namespace std::string_literals;

std::vector<std::string> read_keys() {
  std::vector<std::string> keys;
  for (const std::string_view key : core_read_keys()) keys.emplace_back(key);
  keys.emplace_back("max_tokens");
  std::ranges::sort(keys);
  return keys;
}

std::expected<BodyView, BodyError> view(std::string_view body,
                                        Endpoint endpoint = Endpoint::chat_completions) {
  return view_body(body, endpoint, read_keys());
}

std::string nested(std::size_t levels) {
  return std::string(levels, '[') + std::string(levels, ']');
}

TEST_CASE("A body's model, stream and usage option are read") {
  const auto read =
      view(R"( {"model":"gpt-4o","stream":true,"stream_options":{"include_usage":true}} )");
  REQUIRE(read);
  CHECK(read->model == "gpt-4o");
  CHECK(read->stream);
  CHECK(read->include_usage);
}

TEST_CASE("The spans of what is read are those of the text") {
  const std::string body = R"({"x":[1, {"model":"no"}], "model" : "a" ,"max_tokens":1e400})";
  const auto read = view(body);
  REQUIRE(read);
  REQUIRE(read->members.size() == 2);
  const BodyMember* model = read->find("model");
  REQUIRE(model != nullptr);
  CHECK(body.substr(model->key_begin, model->key_end - model->key_begin) == "\"model\"");
  CHECK(body.substr(model->value_begin, model->value_end - model->value_begin) == "\"a\"");
  CHECK(model->type == JsonType::string);
  const BodyMember* tokens = read->find("max_tokens");
  REQUIRE(tokens != nullptr);
  CHECK(body.substr(tokens->value_begin, tokens->value_end - tokens->value_begin) == "1e400");
  CHECK(body[read->object_begin] == '{');
  CHECK(read->object_end == body.size());
  CHECK(read->find("x") == nullptr);
}

TEST_CASE("A key is recognised through its escapes") {
  const auto read = view(R"({"mod\u0065l":"a\u00e9\n"})");
  REQUIRE(read);
  CHECK(read->model == "a\xC3\xA9\n");
}

TEST_CASE("A repeated key that is read is refused, escaped or in another case") {
  const std::string body =
      GENERATE(R"({"model":"a","model":"b"})"s, R"({"model":"a","mod\u0065l":"b"})"s,
               R"({"Model":"a","model":"b"})"s, R"({"model":"a","MODEL":"b"})"s);
  const auto read = view(body);
  REQUIRE_FALSE(read);
  CHECK(read.error().code == "duplicate_key");
  CHECK(read.error().param == "model");
}

TEST_CASE("A repeated key is refused however many keys are read, and however long it is") {
  std::vector<std::string> keys = read_keys();
  for (int i = 100; i < 600; ++i) keys.push_back("key" + std::to_string(i));
  keys.push_back("long" + std::string(100, 'g'));
  std::ranges::sort(keys);
  for (const std::string& key : keys) {
    if (key.starts_with("api_") || key == "base_url" || key == "model") continue;
    std::string upper = key;
    upper[0] = static_cast<char>(std::toupper(upper[0]));
    const std::string once = "{\"model\":\"a\",\"" + key + "\":null";
    CHECK(view_body(once + "}", Endpoint::embeddings, keys));
    const auto twice = view_body(once + ",\"" + upper + "\":null}", Endpoint::embeddings, keys);
    REQUIRE_FALSE(twice);
    CHECK(twice.error().code == "duplicate_key");
  }
}

TEST_CASE("A repeated key that nobody reads passes") {
  CHECK(view(R"({"model":"a","x":1,"x":2,"X":3})"));
}

TEST_CASE("A repeated usage option is refused") {
  const auto read =
      view(R"({"model":"a","stream_options":{"include_usage":true,"Include_Usage":false}})");
  REQUIRE_FALSE(read);
  CHECK(read.error().param == "stream_options.include_usage");
}

TEST_CASE("A model in another case is missing, and the message says why") {
  const auto read = view(R"({"Model":"a"})");
  REQUIRE_FALSE(read);
  CHECK(read.error().param == "model");
  CHECK(read.error().code == "missing_required_parameter");
  CHECK(read.error().message.find("case-sensitive") != std::string::npos);
}

struct Mistake {
  std::string body, param, code;
};

TEST_CASE("Each mistake in a body names the field and has its own code") {
  const auto mistake = GENERATE(
      Mistake{"", "", "empty_body"}, Mistake{" \r\n\t ", "", "empty_body"},
      Mistake{"null", "", "invalid_type"}, Mistake{"[{\"model\":1}]", "", "invalid_type"},
      Mistake{"\"model\"", "", "invalid_type"}, Mistake{"12", "", "invalid_type"},
      Mistake{"[1", "", "invalid_json"}, Mistake{"{\"model\":\"a\"", "", "invalid_json"},
      Mistake{"{\"model\":\"a\"}}", "", "invalid_json"},
      Mistake{"{\"model\":\"a\",}", "", "invalid_json"},
      Mistake{"{\"model\":\"a\" \"x\":1}", "", "invalid_json"},
      Mistake{"\xEF\xBB\xBF{\"model\":\"a\"}", "", "invalid_json"},
      Mistake{"{\"model\":\"\xC0\xAF\"}", "", "invalid_utf8"},
      Mistake{"{}", "model", "missing_required_parameter"},
      Mistake{R"({"model":""})", "model", "invalid_value"},
      Mistake{R"({"model":null})", "model", "invalid_type"},
      Mistake{R"({"model":["a"]})", "model", "invalid_type"},
      Mistake{R"({"model":"a","stream":"yes"})", "stream", "invalid_type"},
      Mistake{R"({"model":"a","stream":1})", "stream", "invalid_type"},
      Mistake{R"({"model":"a","messages":"x"})", "messages", "invalid_type"},
      Mistake{R"({"model":"a","messages":null})", "messages", "invalid_type"},
      Mistake{R"({"model":"a","n":1.5})", "n", "invalid_type"},
      Mistake{R"({"model":"a","n":"1"})", "n", "invalid_type"},
      Mistake{R"({"model":"a","n":1e400})", "n", "invalid_type"},
      Mistake{R"({"model":"a","n":99999999999999999999})", "n", "invalid_type"},
      Mistake{R"({"model":"a","api_base":"http://x"})", "api_base", "unsupported_parameter"},
      Mistake{R"({"model":"a","Base_URL":null})", "base_url", "unsupported_parameter"},
      Mistake{R"({"model":"a","api\u005fkey":"k"})", "api_key", "unsupported_parameter"});
  CAPTURE(mistake.body);
  const auto read = view(mistake.body);
  REQUIRE_FALSE(read);
  CHECK(read.error().param == mistake.param);
  CHECK(read.error().code == mistake.code);
  CHECK_FALSE(read.error().message.empty());
}

TEST_CASE("A syntax error says at which byte") {
  const auto read = view(R"({"model":tru})");
  REQUIRE_FALSE(read);
  CHECK(read.error().message.find("byte 9") != std::string::npos);
}

TEST_CASE("Null stream, null n and negative n are no type errors") {
  CHECK(view(R"({"model":"a","stream":null,"n":null})"));
  CHECK(view(R"({"model":"a","stream":false,"n":-3})"));
}

TEST_CASE("What an endpoint does not define is the provider's to judge") {
  CHECK(view(R"({"model":"a","messages":"x","n":1.5})", Endpoint::rerank));
  CHECK(view(R"({"model":"a","messages":"x","n":1})", Endpoint::completions));
}

TEST_CASE("A nested api_base is opaque") {
  CHECK(view(R"({"model":"a","metadata":{"api_base":"x"}})"));
}

TEST_CASE("The model's length is bounded") {
  const std::string longest(bounds::kModelNameBytes, 'm');
  CHECK(view("{\"model\":\"" + longest + "\"}"));
  const auto read = view("{\"model\":\"" + longest + "m\"}");
  REQUIRE_FALSE(read);
  CHECK(read.error().param == "model");
}

TEST_CASE("Depth is bounded, at whatever place") {
  CHECK(view("{\"model\":\"a\",\"x\":" + nested(bounds::kJsonDepth - 1) + "}"));
  const auto read = view("{\"model\":\"a\",\"x\":" + nested(bounds::kJsonDepth) + "}");
  REQUIRE_FALSE(read);
  CHECK(read.error().code == "json_too_deep");
  CHECK(view(std::string(100000, '[')).error().code == "json_too_deep");
  std::string objects;
  for (int i = 0; i < 100000; ++i) objects += "{\"a\":";
  CHECK(view(objects).error().code == "json_too_deep");
}

TEST_CASE("Only RFC 8259 is JSON") {
  for (const char* text : {"0", "-0", "-0.0e+1", "1e400", "123456789012345678901234567890",
                           "\"\\u0000\\ud800\"", "[]", " [ 1 , {} , {\"\":null} ]\n", "true",
                           "{\"a\":1,\"a\":2}", "\"\x7F\xF0\x9F\x98\x80\xEE\x80\x80\""}) {
    CAPTURE(text);
    CHECK(is_json(text));
  }
  for (const char* text :
       {"",     " ",         "tru",         "truee",    "01",       "-",           "+1",
        "1.",   ".5",        "1e",          "1e+",      "NaN",      "Infinity",    "'a'",
        "\"a",  "\"\\x\"",   "\"\\u12g4\"", "\"\\u123", "\"\t\"",   "\"a\" \"b\"", "[1,]",
        "[,1]", "[1 2]",     "{1:2}",       "{\"a\"}",  "{\"a\":}", "{\"a\":1,}",  "{,}",
        "[1}",  "{\"a\":1]", "//c\n1",      "1\v",      "\xFE\xFF"}) {
    CAPTURE(text);
    CHECK_FALSE(is_json(text));
  }
  CHECK_FALSE(is_json("1\0"s));
}

TEST_CASE("A string is UTF-8 wherever in it the bytes stand") {
  const std::vector<std::string> good{"\xC2\x80",         "\xDF\xBF",        "\xE0\xA0\x80",
                                      "\xED\x9F\xBF",     "\xEE\x80\x80",    "\xEF\xBF\xBF",
                                      "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"};
  const std::vector<std::string> bad{"\x80",
                                     "\xBF",
                                     "\xC0\x80",
                                     "\xC1\xBF",
                                     "\xC2",
                                     "\xC2 ",
                                     "\xE0\x9F\xBF",
                                     "\xED\xA0\x80",
                                     "\xED\xBF\xBF",
                                     "\xE2\x82",
                                     "\xE2\x28\xA1",
                                     "\xF0\x8F\xBF\xBF",
                                     "\xF4\x90\x80\x80",
                                     "\xF0\x9F\x98",
                                     "\xF5\x80\x80\x80",
                                     "\xFF",
                                     "\xFE",
                                     "\x01",
                                     "\n",
                                     "\x1F"};
  for (std::size_t before = 0; before < 40; ++before) {
    const std::string start = "\"" + std::string(before, 'a');
    for (const std::string& text : good) CHECK(is_json(start + text + "zz\""));
    for (const std::string& text : bad) CHECK_FALSE(is_json(start + text + "zz\""));
  }
}

TEST_CASE(
    "The fault of a long text is where it is not UTF-8, and what is passed is still checked") {
  const std::string start = "[\"\xC3\xA9\",\"" + std::string(300, 'a') + "\xE2\x82\xAC";
  CHECK(is_json(start + "\\u00e9\xC3\xA9\"]"));
  for (const char* wrong : {"\"", "\x1F\"]", "\\x\"]", "\"\xC3\xA9]"}) {
    INFO(wrong);
    CHECK_FALSE(is_json(start + wrong));
  }
  for (const char* bad : {"\x80", "\xC3 ", "\xED\xA0\x80", "\xF5\x80\x80\x80"}) {
    const std::string text = start + bad + std::string(300, 'z') + "\"]";
    JsonCursor cursor(text);
    CHECK_FALSE(cursor.skip());
    REQUIRE(cursor.fault());
    CHECK(cursor.fault()->kind == JsonFault::Kind::invalid_utf8);
    CHECK(cursor.fault()->offset == start.size());
  }
}

TEST_CASE("Unescaping applies every escape") {
  CHECK(unescape(R"("a\"\\\/\b\f\n\r\t\u0041\u00e9\u20ac\ud83d\ude00")") ==
        "a\"\\/\b\f\n\r\tA\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80");
  CHECK(unescape(R"("\u0000")") == "\0"s);
}

TEST_CASE("A lone surrogate becomes the replacement character") {
  const std::string replacement = "\xEF\xBF\xBD";
  CHECK(unescape(R"("\ud83d")") == replacement);
  CHECK(unescape(R"("\ude00x")") == replacement + "x");
  CHECK(unescape(R"("\ud83d\ud83d\ude00")") == replacement + "\xF0\x9F\x98\x80");
  CHECK(unescape(R"("\ud83d\n")") == replacement + "\n");
}

TEST_CASE("What is not a JSON string is not unescaped") {
  for (const char* text : {"", "a", "\"", "\"a", "\"a\" ", " \"a\"", "1", "\"\\q\"", "\"a\"b\""}) {
    CAPTURE(text);
    CHECK_FALSE(unescape(text));
  }
}

TEST_CASE("Quoting escapes what JSON wants escaped and repairs UTF-8") {
  CHECK(quote("a\"\\\n\x01\x7F") == "\"a\\\"\\\\\\n\\u0001\x7F\"");
  CHECK(quote("\xC3\xA9\xFFx\xE2\x82") == "\"\xC3\xA9\xEF\xBF\xBDx\xEF\xBF\xBD\xEF\xBF\xBD\"");
}

TEST_CASE("Quoting and unescaping are inverse for random text") {
  const auto seed = GENERATE(range(1u, 50u));
  CAPTURE(seed);
  std::mt19937 random(seed);
  const std::vector<std::string> bits{"a", "\"", "\\", "\n", "\x1F", "\xC3\xA9", "\xF0\x9F\x98\x80",
                                      "/", "\0"s};
  std::string text;
  for (unsigned i = 0; i < 64; ++i) text += bits[random() % bits.size()];
  CHECK(is_json(quote(text)));
  CHECK(unescape(quote(text)) == text);
}

TEST_CASE("The checker agrees with another parser on mutated bodies") {
  const auto seed = GENERATE(range(1u, 400u));
  CAPTURE(seed);
  std::mt19937 random(seed);
  std::string text = R"({"model":"a\u00e9\n","x":[1,-2.5e3,{"y":null}],"z":"caf)"
                     "\xC3\xA9 \xF0\x9F\x98\x80"
                     R"(","t":[true,false,[],{}]})";
  const std::string alphabet = "{}[]\",:\\u0e-+.tn \xC3\xA9\x80\x01";
  for (unsigned i = 0; i <= random() % 3; ++i) {
    const std::size_t at = random() % text.size();
    if (random() % 2 == 0) {
      text[at] = alphabet[random() % alphabet.size()];
    } else {
      text.erase(at, 1);
    }
  }
  CAPTURE(text);
  // The other parser refuses escaped lone surrogates and numbers beyond a double, which this text
  // cannot hold.
  CHECK(is_json(text) == nlohmann::json::accept(text));
}

TEST_CASE("Keys fold by ASCII only") {
  CHECK(fold("MoDel_\xC3\x89") == "model_\xC3\x89");
}

}  // namespace
}  // namespace spillway
