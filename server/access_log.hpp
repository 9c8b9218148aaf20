// One line a request on stdout, as JSON or logfmt: who asked for what, which deployment answered,
// what it took. Never bodies, never credentials.
//
// Writing never waits for the reader of stdout: lines go through a bounded queue, whose oldest are
// dropped, and counted, when it is full.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/config.hpp"
#include "core/random.hpp"
#include "core/time.hpp"

namespace spillway::server {

// Views need to live only as long as the call that the record is given to.
struct AccessRecord {
  WallTime at{};  // when the request was finished
  std::string_view request_id;
  std::string_view key;     // alias of the client's key; empty: none was wanted
  std::string_view client;  // address
  std::string_view method;
  std::string_view path;
  std::string_view model;  // as requested; cut to bounds::kModelNameBytes
  std::string_view group;  // the one that answered, or was asked last
  std::string_view deployment;
  std::string_view provider;
  int status = 0;                         // 499: the client left
  std::optional<ErrorClass> error_class;  // nullopt: success
  std::string_view detail;                // of a failure; cut to bounds::kErrorMessageBytes
  unsigned attempts = 0;
  unsigned fallbacks = 0;
  unsigned cooldowns = 0;  // set by this request
  bool stream = false;
  std::optional<Duration> time_to_first_token;
  Duration total{};
  Duration overhead{};
  std::optional<std::uint64_t> prompt_tokens;
  std::optional<std::uint64_t> completion_tokens;
  std::uint64_t request_bytes = 0;   // of the body
  std::uint64_t response_bytes = 0;  // as sent: head, body and framing
};

// The value as logfmt spells it: in the quotes of JSON, and escaped, unless it is plain visible
// ASCII. What a client sent goes into a log no other way.
std::string log_value(std::string_view value);

// The line without its end; one line whatever the values hold. Empty for AccessLogFormat::off.
std::string render(const AccessRecord& record, AccessLogFormat format);

// Failures always, successes by settings.sample; `draw` is uniform in [0, 1).
bool is_written(const AccessRecord& record, const AccessLog& settings, double draw);

// Writes the record if it is to be written. Any thread.
void write_access_log(const AccessRecord& record, const AccessLog& settings, Random& random);

// Lines lost because stdout was too slow.
std::uint64_t dropped_log_lines();

}  // namespace spillway::server
