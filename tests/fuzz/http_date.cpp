// The one thing that response heads ask of a worker. A whole worker would bring the rest of server/
// along, which is no part of what is fuzzed.
#include "server/worker.hpp"

namespace spillway::server {

const std::string& Worker::http_date() {
  static const std::string date = "Fri, 02 Jan 2026 03:04:05 GMT";
  return date;
}

}  // namespace spillway::server
