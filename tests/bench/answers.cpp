#include "tests/bench/answers.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace spillway::bench {
namespace {

constexpr std::size_t kBodyBytes = 500;
constexpr std::string_view kWords = "The water goes over the spillway. ";

std::string chunk(std::string_view data) {
  return fmt::format("{:x}\r\n{}\r\n", data.size(), data);
}

std::string make_answer(std::size_t body_bytes) {
  const std::string_view begin =
      R"({"id":"chatcmpl-bench000000000000000001","object":"chat.completion","created":1735689600,)"
      R"("model":"bench-model","choices":[{"index":0,"message":{"role":"assistant","content":")";
  const std::string_view end =
      R"("},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":140,)"
      R"("completion_tokens":40,"total_tokens":180},"system_fingerprint":"fp_bench"})";
  std::string words;
  while (words.size() < body_bytes) words += kWords;
  words.resize(std::max(body_bytes, begin.size() + end.size()) - begin.size() - end.size());
  return fmt::format(
      "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n"
      "x-request-id: req_bench\r\n\r\n{}{}{}",
      begin.size() + words.size() + end.size(), begin, words, end);
}

std::string event(std::string_view delta, std::string_view finish) {
  return fmt::format(
      "data: {{\"id\":\"chatcmpl-bench000000000000000001\",\"object\":\"chat.completion.chunk\","
      "\"created\":1735689600,\"model\":\"bench-model\",\"system_fingerprint\":\"fp_bench\","
      "\"choices\":[{{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":{}}}]}}\n\n",
      delta, finish);
}

}  // namespace

const std::string& plain_answer() {
  static const std::string answer = make_answer(kBodyBytes);
  return answer;
}

std::string answer_of(std::size_t body_bytes) {
  return make_answer(body_bytes);
}

std::string failure(std::uint64_t status) {
  const std::string body = fmt::format(
      R"({{"error":{{"message":"asked for","type":"server_error","param":null,"code":"{}"}}}})",
      status);
  return fmt::format(
      "HTTP/1.1 {} Asked For\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{}",
      status, body.size(), body);
}

const std::string& stream_head() {
  static const std::string head =
      "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
      "transfer-encoding: chunked\r\nx-request-id: req_bench\r\n\r\n";
  return head;
}

void append_event(std::string& out, std::uint64_t sent_ns) {
  static const std::string made =
      chunk(event(fmt::format("{{{}{:0>{}}\"}}", kTimeMark, 0, kTimeDigits), "null"));
  static const std::size_t time_at = made.find(kTimeMark) + kTimeMark.size();
  const std::size_t begin = out.size();
  out += made;
  for (std::size_t digit = kTimeDigits; digit-- > 0; sent_ns /= 10)
    out[begin + time_at + digit] = static_cast<char>('0' + sent_ns % 10);
}

const std::string& stream_end() {
  // The closing event has no time: it is not measured.
  static const std::string end =
      chunk(event("{}", "\"stop\"")) + chunk("data: [DONE]\n\n") + "0\r\n\r\n";
  return end;
}

}  // namespace spillway::bench
