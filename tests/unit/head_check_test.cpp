#include "core/head_check.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <random>

#include "core/bounds.hpp"

namespace spillway {
namespace {

using namespace std::string_literals;
using State = RequestHeadCheck::State;

constexpr HeadLimits kLimits{64 * 1024, 100};

// 0: complete; -1: more is needed; else the status of the fault.
int judge(std::string_view head, HeadLimits limits = kLimits) {
  RequestHeadCheck check(limits);
  switch (check.feed(head)) {
    case State::complete:
      return 0;
    case State::need_more:
      return -1;
    case State::bad:
      break;
  }
  CHECK_FALSE(check.fault().message.empty());
  return check.fault().status;
}

std::string get(std::string_view fields) {
  return "GET / HTTP/1.1\r\nHost: a\r\n" + std::string(fields) + "\r\n";
}

std::string to(std::string_view target, std::string_view method = "GET") {
  return std::string(method) + " " + std::string(target) + " HTTP/1.1\r\nHost: a\r\n\r\n";
}

std::string from_host(std::string_view host) {
  return "GET / HTTP/1.1\r\nHost: " + std::string(host) + "\r\n\r\n";
}

TEST_CASE("A plain request head is complete at its empty line") {
  const std::string head =
      "POST /v1/chat/completions?x=1 HTTP/1.1\r\nHost: localhost:4000\r\n"
      "Content-Length: 12\r\nX-Name: caf\xC3\xA9\tau lait\r\n\r\n";
  RequestHeadCheck check(kLimits);
  REQUIRE(check.feed(head + "{\"model\":\"\n\x01") == State::complete);
  CHECK(check.head_bytes() == head.size());
  CHECK(check.skipped_bytes() == 0);
  CHECK(check.framing() == BodyFraming::length);
  CHECK(check.content_length() == 12);
  CHECK(check.keep_alive());
  CHECK_FALSE(check.http_1_0());
  CHECK_FALSE(check.expect_continue());
}

struct Case {
  std::string head;
  int status;
};

std::string spelled(Headers fields) {
  std::string out;
  for (const HeaderView& field : fields)
    out.append(field.name).append("=").append(field.value).append(";");
  return out;
}

TEST_CASE("A complete request head hands out what it says") {
  const std::string head =
      "\r\nPOST /v1/x?a=b HTTP/1.1\r\nHost: a\r\nX-Empty:\r\nx-spaced: \t b c \r\n\r\nbody";
  std::vector<HeaderView> fields{{"left", "over"}};
  RequestHeadCheck check(kLimits, &fields);
  REQUIRE(check.feed(head) == State::complete);
  CHECK(check.method() == "POST");
  CHECK(check.target() == "/v1/x?a=b");
  CHECK(spelled(fields) == "Host=a;X-Empty=;x-spaced=b c;");
}

TEST_CASE("What a request head says is found in the buffer of the last call") {
  const std::string head =
      "GET http://a/x HTTP/1.1\r\nHost: a\r\nX-Empty:\r\nX: long enough for no short text\r\n\r\n";
  std::vector<HeaderView> fields;
  RequestHeadCheck check(kLimits, &fields);
  for (std::size_t size = 1; size < head.size(); ++size) {
    const std::string copy = head.substr(0, size);  // elsewhere each time, and gone behind the call
    REQUIRE(check.feed(copy) == State::need_more);
  }
  REQUIRE(check.feed(head) == State::complete);
  CHECK(check.method().data() == head.data());
  CHECK(check.target() == "http://a/x");
  CHECK(spelled(fields) == "Host=a;X-Empty=;X=long enough for no short text;");
  CHECK(fields.back().value.data() == head.data() + head.find("long"));
}

TEST_CASE("A Connection header is a list of options") {
  const auto [value, status] =
      GENERATE(Case{"close", 0}, Case{" ,close,, upgrade,", 0}, Case{"", 0}, Case{"a b", 400},
               Case{"close;q=1", 400}, Case{"\"close\"", 400}, Case{"close, \x80", 400});
  CAPTURE(value);
  CHECK(judge(get("Connection: " + value + "\r\n")) == status);
  CHECK(judge(get("Proxy-Connection: " + value + "\r\n")) == status);
}

TEST_CASE("A head without a body announces none") {
  RequestHeadCheck check(kLimits);
  REQUIRE(check.feed(get("")) == State::complete);
  CHECK(check.framing() == BodyFraming::none);
}

TEST_CASE("A chunked body is announced in any letter case") {
  RequestHeadCheck check(kLimits);
  REQUIRE(check.feed(get("tRansfer-encoding:\t CHUNKED \r\n")) == State::complete);
  CHECK(check.framing() == BodyFraming::chunked);
}

TEST_CASE("One empty line before the request line is skipped, a second is refused") {
  RequestHeadCheck check(kLimits);
  REQUIRE(check.feed("\r\n" + get("")) == State::complete);
  CHECK(check.skipped_bytes() == 2);
  CHECK(check.head_bytes() == get("").size() + 2);
  CHECK(judge("\r\n\r\n" + get("")) == 400);
  CHECK(judge("\n" + get("")) == 400);
}

TEST_CASE("Line ends and control bytes") {
  const auto [head, status] = GENERATE(
      Case{"GET / HTTP/1.1\nHost: a\r\n\r\n", 400}, Case{"GET / HTTP/1.1\r\nHost: a\n\r\n", 400},
      Case{get("A: b\rc\r\n"), 400}, Case{get("A: b\r\r\n"), 400}, Case{get("A: b\0c\r\n"s), 400},
      Case{get("A: b\x01\r\n"), 400}, Case{get("A: b\x7F\r\n"), 400},
      Case{get("A: b\x0B\r\n"), 400}, Case{get("A: b\tc\r\n"), 0}, Case{get("A: \x80\xFF\r\n"), 0},
      Case{"GET / HTTP/1.1\r\nHost: a\r\n\r", -1}, Case{"GET / HTTP/1.1\r\nHost: a\r\n\rx", 400},
      Case{"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400}, Case{"\x16\x03\x01\x02", 400}, Case{"", -1},
      Case{"GET / HTTP/1.1\r\n\0"s, 400});
  CAPTURE(head);
  CHECK(judge(head) == status);
}

TEST_CASE("The request line") {
  const auto [line, status] = GENERATE(
      Case{"GET / HTTP/1.1", 0}, Case{"GET / HTTP/1.0", 0}, Case{"M-SEARCH / HTTP/1.1", 0},
      Case{"GET /", 400}, Case{"GET", 400}, Case{" GET / HTTP/1.1", 400},
      Case{"GET  / HTTP/1.1", 400}, Case{"GET /  HTTP/1.1", 400}, Case{"GET / HTTP/1.1 ", 400},
      Case{"GET / x HTTP/1.1", 400}, Case{"G(T / HTTP/1.1", 400}, Case{"GET / HTTP/1", 400},
      Case{"GET / HTTP/1.", 400}, Case{"GET / HTTP/11.1", 400}, Case{"GET / HTTP/1.10", 400},
      Case{"GET / http/1.1", 400}, Case{"GET / HTTP/1,1", 400}, Case{"GET / ICE/1.0", 400},
      Case{"GET / HTTP/2.0", 505}, Case{"PRI * HTTP/2.0", 505}, Case{"GET / HTTP/1.2", 505},
      Case{"GET / HTTP/0.9", 505}, Case{"CONNECT a:443 HTTP/1.1", 405},
      Case{"TRACE / HTTP/1.1", 405}, Case{std::string(33, 'M') + " / HTTP/1.1", 501});
  CAPTURE(line);
  CHECK(judge(line + "\r\nHost: a\r\n\r\n") == status);
}

TEST_CASE("The target is a path, an http URL, or * for OPTIONS") {
  const auto [target, status] = GENERATE(
      Case{"/", 0}, Case{"/v1/models/a%2Fb?x=%zz|{}\"", 0}, Case{"/;a=b,@:!$&'()*+~", 0},
      Case{"http://a", 0}, Case{"HTTPS://[::1]:4000/x?y", 0}, Case{"http://a?x", 0}, Case{"//x", 0},
      Case{"*", 400}, Case{"a:80", 400}, Case{"models", 400}, Case{"/#x", 400}, Case{"/a?b#", 400},
      Case{"http://a#x", 400}, Case{"/a%2", 400}, Case{"/a%zz", 400}, Case{"/a\"b", 400},
      Case{"/a\\b", 400}, Case{"/caf\xC3\xA9", 400}, Case{"/?caf\xC3\xA9", 400},
      Case{"ftp://a/", 400}, Case{"http:///x", 400}, Case{"http://u:p@a/", 400},
      Case{"http://a:99999/", 400}, Case{"/\x7F", 400});
  CAPTURE(target);
  CHECK(judge(to(target)) == status);
}

TEST_CASE("OPTIONS may ask about everything") {
  CHECK(judge(to("*", "OPTIONS")) == 0);
}

TEST_CASE("Host is one host with an optional port") {
  const auto [host, status] = GENERATE(
      Case{"localhost", 0}, Case{"LocalHost:4000", 0}, Case{"127.0.0.1:80", 0}, Case{"[::1]", 0},
      Case{"[2001:db8::1.2.3.4]:443", 0}, Case{"[1:2:3:4:5:6:7:8]", 0}, Case{"a_b.c-d", 0},
      Case{"a%41", 0}, Case{"a:", 0}, Case{"", 400}, Case{"localhost:4000/#@x", 400},
      Case{"a b", 400}, Case{"a, b", 400}, Case{"u@a", 400}, Case{"a:b", 400}, Case{"a:65536", 400},
      Case{"a:+1", 400}, Case{":80", 400}, Case{"::1", 400}, Case{"[::1", 400}, Case{"[::1]x", 400},
      Case{"[1:2]", 400}, Case{"[1::2::3]", 400}, Case{"[12345::]", 400}, Case{"[::1.2.3]", 400},
      Case{"[::256.1.1.1]", 400}, Case{"[1.2.3.4::]", 400}, Case{"[fe80::1%25eth0]", 400},
      Case{"[1:2:3:4:5:6:7::8]", 400}, Case{"a%4", 400}, Case{"a\\b", 400}, Case{"a\x80", 400},
      Case{"a.", 0}, Case{"a..b", 400}, Case{"..:80", 400}, Case{".a", 400}, Case{".", 400});
  CAPTURE(host);
  CHECK(judge(from_host(host)) == status);
}

TEST_CASE("Host is wanted once, and may be left out in HTTP/1.0 only") {
  CHECK(judge("GET / HTTP/1.1\r\n\r\n") == 400);
  CHECK(judge("GET http://a/ HTTP/1.1\r\n\r\n") == 400);
  CHECK(judge("GET / HTTP/1.0\r\n\r\n") == 0);
  CHECK(judge(get("Host: a\r\n")) == 400);
  CHECK(judge("GET / HTTP/1.0\r\nHost: a\r\nhost: a\r\n\r\n") == 400);
}

TEST_CASE("Header lines") {
  const auto [line, status] =
      GENERATE(Case{"A:", 0}, Case{"!#$%&'*+-.^_`|~9z:b", 0}, Case{"A : b", 400},
               Case{"A\t: b", 400}, Case{": b", 400}, Case{"A", 400}, Case{" A: b", 400},
               Case{"\tA: b", 400}, Case{"A: b\r\n c", 400}, Case{"A(: b", 400},
               Case{"\"A\": b", 400}, Case{"Caf\xC3\xA9: b", 400});
  CAPTURE(line);
  CHECK(judge(get(line + "\r\n")) == status);
}

TEST_CASE("White space before the first field is refused") {
  CHECK(judge("GET / HTTP/1.1\r\n Host: a\r\n\r\n") == 400);
}

TEST_CASE("Body framing is one decimal length or exactly chunked") {
  const auto [fields, status] = GENERATE(
      Case{"Content-Length: 0", 0}, Case{"Content-Length: 0005", 0},
      Case{"Content-Length: 18446744073709551615", 0},
      Case{"Content-Length: 18446744073709551616", 400}, Case{"Content-Length: +1", 400},
      Case{"Content-Length: -1", 400}, Case{"Content-Length: 0x1", 400},
      Case{"Content-Length: 1 1", 400}, Case{"Content-Length: 5, 5", 400},
      Case{"Content-Length:", 400}, Case{"Content-Length: 5\r\nContent-Length: 5", 400},
      Case{"Transfer-Encoding: chunked, chunked", 400}, Case{"Transfer-Encoding: xchunked", 400},
      Case{"Transfer-Encoding: chunked;a", 400}, Case{"Transfer-Encoding:", 400},
      Case{"Transfer-Encoding: identity", 400}, Case{"Transfer-Encoding: chunked, gzip", 400},
      Case{"Transfer-Encoding: chunked,", 400}, Case{"Transfer-Encoding: \"chunked\"", 400},
      Case{"Transfer-Encoding: gzip, chunked", 501},
      Case{"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 400},
      Case{"Transfer-Encoding: chunked\r\nContent-Length: 5", 400},
      Case{"Content-Length: 5\r\nTransfer-Encoding: chunked", 400});
  CAPTURE(fields);
  CHECK(judge(get(fields + "\r\n")) == status);
}

TEST_CASE("Transfer-Encoding is refused in HTTP/1.0") {
  CHECK(judge("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n") == 400);
}

TEST_CASE("Only 100-continue can be expected") {
  CHECK(judge(get("Expect: 200-ok\r\n")) == 417);
  CHECK(judge(get("Expect: 100-continue, x\r\n")) == 417);
  RequestHeadCheck check(kLimits);
  REQUIRE(check.feed(get("expect: 100-Continue\r\nContent-Length: 1\r\n")) == State::complete);
  CHECK(check.expect_continue());
}

TEST_CASE("Nobody waits for a 100 without a body or in HTTP/1.0") {
  RequestHeadCheck without_body(kLimits);
  REQUIRE(without_body.feed(get("Expect: 100-continue\r\n")) == State::complete);
  CHECK_FALSE(without_body.expect_continue());
  RequestHeadCheck old(kLimits);
  REQUIRE(old.feed("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n") ==
          State::complete);
  CHECK_FALSE(old.expect_continue());
}

TEST_CASE("The connection is kept as version and Connection say") {
  const auto [connection, version, kept] =
      GENERATE(table<std::string, std::string, bool>({{"", "1.1", true},
                                                      {"", "1.0", false},
                                                      {"keep-alive", "1.0", true},
                                                      {"Keep-Alive, Upgrade", "1.0", true},
                                                      {"close", "1.1", false},
                                                      {"upgrade ,CLOSE", "1.1", false},
                                                      {"keep-alive, close", "1.0", false},
                                                      {"closed", "1.1", true},
                                                      {",,", "1.1", true}}));
  CAPTURE(connection, version);
  RequestHeadCheck check(kLimits);
  REQUIRE(check.feed("GET / HTTP/" + version + "\r\nHost: a\r\nConnection: " + connection +
                     "\r\n\r\n") == State::complete);
  CHECK(check.keep_alive() == kept);
  CHECK(check.http_1_0() == (version == "1.0"));
}

TEST_CASE("Too long a target is 414, whether the line ends or not") {
  const std::string longest = "/" + std::string(bounds::kTargetBytes - 1, 'a');
  CHECK(judge(to(longest)) == 0);
  CHECK(judge(to(longest + "a")) == 414);
  CHECK(judge("GET " + longest + std::string(100, 'a')) == 414);
  CHECK(judge(std::string(9000, 'G')) == 414);
}

TEST_CASE("A request line beyond the whole head's limit is 414") {
  CHECK(judge("GET /" + std::string(60, 'a'), {40, 10}) == 414);
}

TEST_CASE("Too large a head is 431 at its last allowed byte, and the body does not count") {
  const std::string head = get("A: " + std::string(100, 'b') + "\r\n");
  CHECK(judge(head + std::string(1000, 'x'), {head.size(), 10}) == 0);
  CHECK(judge(head, {head.size() - 1, 10}) == 431);
  CHECK(judge(head.substr(0, 60), {50, 10}) == 431);
}

TEST_CASE("Too many fields are 431") {
  CHECK(judge(get("A: b\r\nA: b\r\n"), {1000, 3}) == 0);
  CHECK(judge(get("A: b\r\nA: b\r\nA: b\r\n"), {1000, 3}) == 431);
}

TEST_CASE("A head that cannot become good is refused before its end") {
  const auto [head, status] =
      GENERATE(Case{"GET / HTTP/5.6", 505}, Case{"GET / HTTQ", 400}, Case{"GET / HTTP/1.1x", 400},
               Case{" ", 400}, Case{"GET /\xC3", 400}, Case{"GET / HTTP/1.1\r\n ", 400},
               Case{"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nX", 400},
               Case{"GET / HTTP/1.1\r\nTransfer-Encoding: x\r\n", 400},
               Case{"GET / HTTP/1.1\r\nHost", -1}, Case{"GET / HTTP/1.1\r\nHost: a\r\n", -1});
  CAPTURE(head);
  CHECK(judge(head) == status);
}

TEST_CASE("However a head arrives, the verdict is the same") {
  const auto seed = GENERATE(range(1u, 600u));
  CAPTURE(seed);
  std::mt19937 random(seed);
  std::string head =
      "\r\nPOST http://a:1/x?y HTTP/1.1\r\nHost: [::1]:80\r\nConnection: close\r\n"
      "Expect: 100-continue\r\nContent-Length: 77\r\nX: a b\r\n\r\nbody\r\n";
  const std::string alphabet = "\r\n \t:/#*\0aH1.\x80"s;
  if (random() % 4 != 0) head[random() % head.size()] = alphabet[random() % alphabet.size()];
  RequestHeadCheck whole(kLimits), split(kLimits);
  const State verdict = whole.feed(head);
  State last = State::need_more;
  for (std::size_t at = 0; at < head.size() && last == State::need_more;) {
    at = std::min(head.size(), at + 1 + random() % 7);
    const std::string copy = head.substr(0, at);  // the buffer may move
    last = split.feed(copy);
  }
  CHECK(last == verdict);
  CHECK(split.fault().status == whole.fault().status);
  CHECK(split.fault().message == whole.fault().message);
  CHECK(split.head_bytes() == whole.head_bytes());
  CHECK(split.skipped_bytes() == whole.skipped_bytes());
}

TEST_CASE("A verdict stays") {
  RequestHeadCheck check(kLimits);
  REQUIRE(check.feed("GET\n") == State::bad);
  CHECK(check.feed(get("")) == State::bad);
}

TEST_CASE("A sound response head is accepted") {
  const std::string head = GENERATE(
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"s, "HTTP/1.1 429 \r\nRetry-After: 7\r\n\r\n"s,
      "HTTP/1.1 200\r\nTransfer-Encoding: Chunked\r\n\r\n"s, "HTTP/1.0 200 caf\xC3\xA9\r\n\r\n"s,
      "HTTP/1.1 599 \x80\r\nX:\r\n\r\n"s);
  CAPTURE(head);
  CHECK_FALSE(check_response_head(head));
}

TEST_CASE("A broken or contradictory response head is refused") {
  const std::string head = GENERATE(
      ""s, "HTTP/1.1 200 OK"s, "HTTP/1.1 200 OK\r\n"s, "HTTP/1.1 20 OK\r\n\r\n"s,
      "HTTP/1.1 2000\r\n\r\n"s, "HTTP/1.1 099 x\r\n\r\n"s, "HTTP/1.1 600 x\r\n\r\n"s,
      "HTTP/2.0 200 OK\r\n\r\n"s, "ICY 200 OK\r\n\r\n"s, "HTTP/1.1  200 OK\r\n\r\n"s,
      "HTTP/1.1 200 OK\n\r\n"s, "HTTP/1.1 200 OK\r\nA: b\n\r\n"s,
      "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n"s, "HTTP/1.1 200 OK\r\nA : b\r\n\r\n"s,
      "HTTP/1.1 200 OK\r\nA\r\n\r\n"s, "HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n"s,
      "HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n"s, "HTTP/1.1 200 O\x01K\r\n\r\n"s,
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n"s,
      "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n"s,
      "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n"s,
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"s,
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"s,
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"s,
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"s,
      "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"s, "HTTP/1.1 200 OK\r\n\r\nx"s);
  CAPTURE(head);
  CHECK(check_response_head(head));
}

TEST_CASE("A response head says its status and its fields") {
  const std::string head =
      "HTTP/1.1 429 Too Many\r\nRetry-After:  7 \r\nX:\r\nContent-Length: 12\r\n\r\n";
  std::vector<HeaderView> fields{{"left", "over"}};
  const auto read = read_response_head(head, fields);
  REQUIRE(read);
  CHECK(read->status == 429);
  CHECK_FALSE(read->http_1_0);
  CHECK(read->framing == BodyFraming::length);
  CHECK(read->content_length == 12);
  CHECK(read->keep_alive);
  CHECK(spelled(fields) == "Retry-After=7;X=;Content-Length=12;");
}

TEST_CASE("How a response's body ends, and whether the connection is kept") {
  struct Expected {
    std::string head;
    BodyFraming framing;
    bool kept;
  };
  const auto [head, framing, kept] = GENERATE(
      Expected{"1.1 200 OK\r\nContent-Length: 0", BodyFraming::length, true},
      Expected{"1.1 200 OK\r\nTransfer-Encoding: chunked", BodyFraming::chunked, true},
      Expected{"1.1 200 OK\r\nX: y", BodyFraming::until_close, false},
      Expected{"1.1 100 Continue\r\nX: y", BodyFraming::none, true},
      Expected{"1.1 204 No\r\nContent-Length: 5", BodyFraming::none, true},
      Expected{"1.1 304 No\r\nTransfer-Encoding: chunked", BodyFraming::none, true},
      Expected{"1.1 205 No\r\nContent-Length: 5", BodyFraming::length, true},
      Expected{"1.1 200 OK\r\nContent-Length: 5\r\nConnection: CLOSE", BodyFraming::length, false},
      Expected{"1.1 200 OK\r\nContent-Length: 5\r\nproxy-connection: a, close", BodyFraming::length,
               false},
      Expected{"1.1 200 OK\r\nContent-Length: 5\r\nConnection: closed", BodyFraming::length, true},
      Expected{"1.0 200 OK\r\nContent-Length: 5", BodyFraming::length, false},
      Expected{"1.0 200 OK\r\nContent-Length: 5\r\nConnection: Keep-Alive", BodyFraming::length,
               true},
      Expected{"1.0 200 OK\r\nConnection: keep-alive", BodyFraming::until_close, false});
  CAPTURE(head);
  std::vector<HeaderView> fields;
  const auto read = read_response_head("HTTP/" + head + "\r\n\r\n", fields);
  REQUIRE(read);
  CHECK(read->framing == framing);
  CHECK(read->keep_alive == kept);
  CHECK(read->http_1_0 == head.starts_with("1.0"));
}

TEST_CASE("A response's Connection header is a list of options") {
  CHECK_FALSE(check_response_head("HTTP/1.1 200 OK\r\nConnection: , a,\r\n\r\n"));
  CHECK(check_response_head("HTTP/1.1 200 OK\r\nConnection: a b\r\n\r\n"));
  CHECK(check_response_head("HTTP/1.1 200 OK\r\nProxy-Connection: a;b\r\n\r\n"));
}

TEST_CASE("A header value that is emitted has no control bytes") {
  CHECK(safe_header_value("a\tb \xC3\xA9"));
  CHECK(safe_header_value(""));
  for (const char c : "\r\n\x01\x1F\x7F"s + '\0') CHECK_FALSE(safe_header_value("a"s + c));
}

}  // namespace
}  // namespace spillway
