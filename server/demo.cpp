#include "server/demo.hpp"

#include <fmt/format.h>

#include <boost/asio/write.hpp>
#include <vector>

#include "core/bounds.hpp"
#include "core/head_check.hpp"
#include "server/event_loop.hpp"

namespace spillway::server {

namespace {

constexpr std::size_t kDemoRequestBytes = 1024 * 1024;

std::string response(std::string_view status_line, std::string_view headers,
                     std::string_view body) {
  return fmt::format("HTTP/1.1 {}\r\n{}Content-Length: {}\r\n\r\n{}", status_line, headers,
                     body.size(), body);
}

std::string rate_limit_answer() {
  return response(
      "429 Too Many Requests", "Content-Type: application/json\r\nRetry-After: 20\r\n",
      R"({"error":{"message":"Rate limit exceeded. Retry in 20s.","type":"rate_limit"}})");
}

constexpr std::string_view kWords[] = {"The ",    "first ",  "provider ", "answered ", "429; ",
                                       "this ",   "answer ", "comes ",    "from ",     "the ",
                                       "second ", "one. ",   "Nobody ",   "noticed."};

std::string plain_answer() {
  std::string text;
  for (const std::string_view word : kWords) text += word;
  const std::string body =
      fmt::format(R"({{"id":"chatcmpl-demo","object":"chat.completion","created":1700000000,)"
                  R"("model":"demo-model","choices":[{{"index":0,"finish_reason":"stop",)"
                  R"("message":{{"role":"assistant","content":"{}"}}}}],)"
                  R"("usage":{{"prompt_tokens":9,"completion_tokens":{},"total_tokens":{}}}}})",
                  text, std::size(kWords), std::size(kWords) + 9);
  return response("200 OK", "Content-Type: application/json\r\n", body);
}

std::string event(std::string_view delta, std::string_view finish_reason) {
  return fmt::format(
      R"(data: {{"id":"chatcmpl-demo","object":"chat.completion.chunk","created":1700000000,)"
      R"("model":"demo-model","choices":[{{"index":0,"delta":{},"finish_reason":{}}}]}})"
      "\n\n",
      delta, finish_reason);
}

std::string stream_answer() {
  std::string events = event(R"({"role":"assistant","content":""})", "null");
  for (const std::string_view word : kWords)
    events += event(fmt::format(R"({{"content":"{}"}})", word), "null");
  events += event("{}", R"("stop")");
  events += "data: [DONE]\n\n";
  return response("200 OK", "Content-Type: text/event-stream\r\n", events);
}

Acceptor loopback(asio::io_context& io) {
  return Acceptor(io, Tcp::endpoint(asio::ip::address_v4::loopback(), 0));
}

}  // namespace

Demo::Demo() : rate_limited_(loopback(io_)), healthy_(loopback(io_)) {
  spawn(accept(rate_limited_, Role::rate_limited));
  spawn(accept(healthy_, Role::healthy));
  thread_ = std::thread([this] { run_event_loop(io_); });
}

Demo::~Demo() {
  io_.stop();
  thread_.join();
}

std::string Demo::config_text() const {
  return fmt::format(R"(model_list:
  - model_name: demo
    litellm_params:
      model: openai/demo-model
      api_base: http://127.0.0.1:{}/v1
      api_key: demo
      order: 1
    model_info:
      id: demo-rate-limited
  - model_name: demo
    litellm_params:
      model: openai/demo-model
      api_base: http://127.0.0.1:{}/v1
      api_key: demo
      order: 2
    model_info:
      id: demo-healthy
)",
                     rate_limited_.local_endpoint().port(), healthy_.local_endpoint().port());
}

Awaitable<void> Demo::accept(Acceptor& acceptor, Role role) {
  error_code ec;
  while (!ec) {
    AsioSocket socket(io_);
    co_await acceptor.async_accept(socket, to(ec));
    if (!ec) spawn(serve(std::move(socket), role));
  }
}

Awaitable<void> Demo::serve(AsioSocket socket, Role role) {
  constexpr HeadLimits kLimits{bounds::kUpstreamHeadBytes, 100};
  std::string received;
  std::vector<char> buffer(bounds::kUpstreamHeadBytes);
  error_code ec;
  while (!ec) {
    // Requests come from a Spillway, which sends all bodies with their length.
    RequestHeadCheck check(kLimits);
    const auto whole = [&] {
      return check.feed(received) == RequestHeadCheck::State::complete &&
             received.size() >= check.head_bytes() + check.content_length();
    };
    while (!ec && !whole() && received.size() < kDemoRequestBytes) {
      const auto n = co_await socket.async_read_some(asio::buffer(buffer), to(ec));
      received.append(buffer.data(), n);
    }
    if (ec || !whole()) break;
    const std::string body = received.substr(check.head_bytes(), check.content_length());
    received.erase(0, check.head_bytes() + body.size());
    const bool stream = body.find(R"("stream":true)") != std::string::npos ||
                        body.find(R"("stream": true)") != std::string::npos;
    const std::string answer = role == Role::rate_limited ? rate_limit_answer()
                               : stream                   ? stream_answer()
                                                          : plain_answer();
    co_await asio::async_write(socket, asio::buffer(answer), to(ec));
  }
}

}  // namespace spillway::server
