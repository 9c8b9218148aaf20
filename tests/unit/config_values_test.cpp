#include <catch2/catch_test_macros.hpp>

#include "config/base_url.hpp"
#include "config/environment.hpp"
#include "config/listen.hpp"
#include "config/scalars.hpp"
#include "config/section.hpp"
#include "config/suggest.hpp"

namespace spillway::config {
namespace {

TEST_CASE("Times take ms, s, m and h; a bare number is seconds") {
  CHECK(parse_time("250ms") == milliseconds(250));
  CHECK(parse_time("5s") == seconds(5));
  CHECK(parse_time("5 s") == seconds(5));
  CHECK(parse_time("2m") == minutes(2));
  CHECK(parse_time("1h") == minutes(60));
  CHECK(parse_time("0.5") == milliseconds(500));
  CHECK(parse_time("600") == seconds(600));
  for (const std::string_view wrong :
       {"", "s", "5x", "-1", "5 s s", "1e3s", "inf", "nan", "400000000h", "5S"}) {
    INFO(wrong);
    CHECK_FALSE(parse_time(wrong).has_value());
  }
}

TEST_CASE("Sizes take KiB, MiB and GiB; a bare number is bytes") {
  CHECK(parse_size("32MiB") == 32u * 1024 * 1024);
  CHECK(parse_size("64 KiB") == 65536u);
  CHECK(parse_size("1.5KiB") == 1536u);
  CHECK(parse_size("1GiB") == 1024u * 1024 * 1024);
  CHECK(parse_size("1000") == 1000u);
  for (const std::string_view wrong : {"", "MiB", "1MB", "1kb", "-1", "0.3", "99999999TiB"}) {
    INFO(wrong);
    CHECK_FALSE(parse_size(wrong).has_value());
  }
}

TEST_CASE("Whole numbers may hold underscores between digits, or be hexadecimal") {
  CHECK(parse_count("80_000") == 80000u);
  CHECK(parse_count("0x1F") == 31u);
  CHECK(parse_count("18446744073709551615") == 18446744073709551615u);
  for (const std::string_view wrong :
       {"", "_1", "1_", "-1", "1.0", "18446744073709551616", "0x", "1 "}) {
    INFO(wrong);
    CHECK_FALSE(parse_count(wrong).has_value());
  }
}

TEST_CASE("Numbers are finite") {
  CHECK(parse_number("1e3") == 1000.0);
  CHECK(parse_number("-.5") == -0.5);
  CHECK(parse_number("+2") == 2.0);
  for (const std::string_view wrong : {"", "inf", "-inf", "nan", "1e999", "0x10", "1,5"}) {
    INFO(wrong);
    CHECK_FALSE(parse_number(wrong).has_value());
  }
}

TEST_CASE("Booleans have YAML 1.1's spellings") {
  for (const std::string_view yes : {"true", "True", "TRUE", "yes", "on"})
    CHECK(parse_boolean(yes) == true);
  for (const std::string_view no : {"false", "False", "no", "OFF"})
    CHECK(parse_boolean(no) == false);
  CHECK_FALSE(parse_boolean("1").has_value());
}

TEST_CASE("A plain scalar keeps its JSON type and spelling, a quoted one is a string") {
  const auto json = [](std::string_view text, bool quoted) {
    Node node;
    node.kind = NodeKind::scalar;
    node.text = text;
    node.quoted = quoted;
    return scalar_json(node, text).value_or("(no JSON)");
  };
  CHECK(json("0.10", false) == "0.10");
  CHECK(json("12345678901234567890123", false) == "12345678901234567890123");
  CHECK(json("80_000", false) == "80000");
  CHECK(json("0x10", false) == "16");
  CHECK(json(".5", false) == "0.5");
  CHECK(json("on", false) == "true");
  CHECK(json("5", true) == "\"5\"");
  CHECK(json("a\"b\n", false) == "\"a\\\"b\\n\"");
  CHECK(json(".inf", false) == "(no JSON)");
}

TEST_CASE("References to the environment are replaced, and what is missing is named") {
  Report report;
  const Variables variables({{"A", "x"}, {"B", "y"}, {"EMPTY", ""}}, report);
  const auto get = [&](std::string_view text) {
    const auto value = substitute_environment(text, variables);
    return value ? *value : "missing " + value.error().name;
  };
  CHECK(get("os.environ/A") == "x");
  CHECK(get("os.environ/NO") == "missing NO");
  CHECK(get("os.environ/EMPTY") == "missing EMPTY");
  CHECK(get("http://${A}.${B}/") == "http://x.y/");
  CHECK(get("${NO}") == "missing NO");
  CHECK(get("$${A}") == "${A}");
  CHECK(get("$${A:-x} $${") == "${A:-x} ${");
  CHECK(get("$A ${} ${1} ${a-b} $") == "$A ${} ${1} ${a-b} $");
  CHECK(get("x os.environ/A") == "x os.environ/A");
}

TEST_CASE("A ${ that begins no reference is told of, without what stands in it") {
  const auto told = [](std::string_view text) {
    const std::string wrong = malformed_reference(text);
    CHECK(wrong.find("secret") == std::string::npos);
    return wrong.substr(0, wrong.find(';'));
  };
  for (const std::string_view good : {"", "a$b", "${A}", "x${A}y${B2_}", "$${secret", "$${}",
                                      "$$${", "os.environ/A", "{secret}", "$secret"})
    CHECK(told(good).empty());
  CHECK(told("${secret") == "holds a ${ without its }");
  CHECK(told("${A}${") == "holds a ${ without its }");
  CHECK(told("x${}") == "holds ${}, which names no variable");
  for (const std::string_view text :
       {"${A:-secret}", "${secret-}", "${A?secret}", "${A }", "${a.b}"})
    CHECK(told(text).starts_with("holds a ${...} with something behind the name"));
  for (const std::string_view text : {"${1secret}", "${ A}", "${#A}", "${-secret}"})
    CHECK(told(text) == "holds a ${...} that is no ${NAME}");
}

TEST_CASE("A value from the environment is not searched for references again") {
  Report report;
  const Variables variables({{"A", "${B}"}, {"B", "secret"}}, report);
  CHECK(substitute_environment("${A}", variables) == "${B}");
}

TEST_CASE("Edit distance counts insertions, deletions, substitutions and swaps") {
  CHECK(edit_distance("model", "model") == 0);
  CHECK(edit_distance("modle", "model") == 1);
  CHECK(edit_distance("mdel", "model") == 1);
  CHECK(edit_distance("moodel", "model") == 1);
  CHECK(edit_distance("MODEL", "model") == 0);
  CHECK(edit_distance("", "abc") == 3);
  CHECK(edit_distance("kitten", "sitting") == 3);
}

TEST_CASE("The nearest known key is suggested, and nothing if none is near") {
  constexpr std::string_view kKnown[] = {"model_name", "litellm_params", "model_info"};
  CHECK(nearest("modelname", kKnown) == "model_name");
  CHECK(nearest("litelm_param", kKnown) == "litellm_params");
  CHECK(nearest("zzz", kKnown).empty());
  CHECK(did_you_mean("model_nmae", kKnown) == "; did you mean \"model_name\"?");
  CHECK(nearest(std::string(5000, 'a'), kKnown).empty());
}

TEST_CASE("An API base becomes an origin and a path without double slashes") {
  struct Row {
    std::string_view url;
    bool tls;
    std::string_view host;
    std::uint16_t port;
    std::string_view path;
  };
  constexpr Row kRows[] = {
      {"https://api.groq.com/openai/v1", true, "api.groq.com", 443, "/openai/v1"},
      {"https://API.Example.COM/v1/", true, "api.example.com", 443, "/v1"},
      {"http://localhost:11434", false, "localhost", 11434, ""},
      {"http://localhost/", false, "localhost", 80, ""},
      {"https://host//a//v1//", true, "host", 443, "/a/v1"},
      {"https://host/v1/chat/completions", true, "host", 443, "/v1"},
      {"https://host/v1/chat/completions/", true, "host", 443, "/v1"},
      {"http://[::1]:8000/v1", false, "::1", 8000, "/v1"},
      {"https://host:8443/a%20b", true, "host", 8443, "/a%20b"},
      {"HTTPS://host", true, "host", 443, ""},
  };
  for (const Row& row : kRows) {
    INFO(row.url);
    const auto base = parse_base_url(row.url);
    REQUIRE(base.has_value());
    CHECK(base->origin.tls == row.tls);
    CHECK(base->origin.host == row.host);
    CHECK(base->origin.port == row.port);
    CHECK(base->path == row.path);
  }
}

TEST_CASE("An API base that could mislead is refused") {
  for (const std::string_view url :
       {"", "host/v1", "//host/v1", "ftp://host/v1", "https:///v1", "https://user:pw@host/v1",
        "https://host/v1?x=1", "https://host/v1#x", "https://host:0/v1", "https://host:99999/v1",
        "https://ho st/v1", "https://h\r\nost/", "https://h%0d%0a/", "https://host/a b",
        "file:///etc/passwd", "https://api..host/v1", "https://.host/v1", "https://./v1"}) {
    INFO(url);
    CHECK_FALSE(parse_base_url(url).has_value());
  }
}

TEST_CASE("The refusal of an API base does not repeat it") {
  CHECK(parse_base_url("https://user:hunter2@host/v1").error().find("hunter2") ==
        std::string::npos);
}

TEST_CASE("Listening addresses are HOST:PORT") {
  CHECK(parse_listen("127.0.0.1:4000") == ListenAddress{"127.0.0.1", 4000});
  CHECK(parse_listen("[::]:0") == ListenAddress{"::", 0});
  CHECK(parse_listen("localhost:80") == ListenAddress{"localhost", 80});
  for (const std::string_view wrong : {"", "4000", ":4000", "host:", "host:70000", "host:-1",
                                       "::1:4000", "[::1]", "[zz]:1", "a b:1", "host:4_000_0_"}) {
    INFO(wrong);
    CHECK_FALSE(parse_listen(wrong).has_value());
  }
}

TEST_CASE("Loopback is what only this machine can reach") {
  for (const std::string_view host : {"127.0.0.1", "127.1.2.3", "::1", "localhost"})
    CHECK(is_loopback(host));
  for (const std::string_view host :
       {"0.0.0.0", "::", "10.0.0.1", "localhost.example.com", "127.evil.com"}) {
    CHECK_FALSE(is_loopback(host));
  }
}

TEST_CASE("Paths that may hold secrets are recognised") {
  for (const std::string_view path :
       {"general_settings.master_key", "spillway.keys[0].key",
        "model_list[0].litellm_params.api_key", "a.extra_headers.x-custom", "a.Auth_Token",
        "db.password", "environment_variables.X", "a.client_secret"}) {
    INFO(path);
    CHECK(may_be_secret(path));
  }
  for (const std::string_view path :
       {"model_list[0].model_name", "a.max_tokens", "router_settings.timeout"}) {
    INFO(path);
    CHECK_FALSE(may_be_secret(path));
  }
}

}  // namespace
}  // namespace spillway::config
