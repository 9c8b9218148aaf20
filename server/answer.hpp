// Response heads and the gateway's own answers.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/config.hpp"
#include "core/failure.hpp"
#include "core/outcome.hpp"
#include "server/client_request.hpp"

namespace spillway::server {

class Worker;

// Appends `name: value` and its line end, unless the value could not be emitted safely.
void append_header(std::string& lines, std::string_view name, std::string_view value);
void append_header(std::string& lines, std::string_view name, std::uint64_t value);
void append_number(std::string& text, std::uint64_t value);

// A response head as one contiguous block.
class ResponseHead {
 public:
  ResponseHead(Worker& worker, int status);
  ResponseHead& add(std::string_view name, std::string_view value);
  ResponseHead& add(std::string_view name, std::uint64_t value);
  // What every answer to `request` carries: its id, CORS, and whether the connection stays.
  ResponseHead& add_common(const ClientRequest& request, const Config& config, bool keep_alive);
  // What passes through from a provider: content type, x-ratelimit-*, retry-after*, openai-*,
  // anthropic-*, and its request id under another name.
  ResponseHead& add_from_provider(Headers headers);
  ResponseHead& add_lines(std::string_view lines);  // made by append_header()
  std::string& lines() { return text_; }            // to append more of them
  std::string finish();

 private:
  std::string text_;
};

// A complete answer made by the gateway itself.
struct Answer {
  int status = 200;
  std::string_view content_type = "application/json";
  std::string body;
  std::optional<Duration> retry_after;
  bool should_not_retry = false;
  std::string_view allow;                                // for 405 and OPTIONS
  std::string extra_headers;                             // complete lines: what was tried
  bool close = false;                                    // the connection cannot be used again
  ErrorClass error_class = ErrorClass::invalid_request;  // for records, when status >= 400
  std::string_view detail;  // for records: what the status does not tell; a constant's text
};

// In coroutines, whose frames are kept for as long as a stream takes.
using AnswerPtr = std::unique_ptr<Answer>;

// A client's own mistake, or the gateway's own inability: DESIGN.md section 4, last paragraph.
Answer refusal(int status, std::string_view code, std::string_view param, std::string message);

// What the gateway has no room for now; the client is told when to come back, and the log, in
// `detail`, what there is too little of.
Answer over_capacity(std::string message, std::string_view detail);
Answer out_of_memory();

// The answer for a failure that came out of the attempts.
Answer answer_for(const Failure& failure);

std::string_view reason_phrase(int status);

}  // namespace spillway::server
