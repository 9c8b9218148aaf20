#include "server/metric_cells.hpp"

#include <algorithm>

namespace spillway::server {

std::size_t status_slot(int status) {
  const auto found = std::ranges::find(kCountedStatuses, status);
  return static_cast<std::size_t>(found - kCountedStatuses.begin());  // its end is "other"
}

std::string status_label(std::size_t slot) {
  return slot < kCountedStatuses.size() ? std::to_string(kCountedStatuses[slot]) : "other";
}

std::string_view name(TlsHandshake handshake) {
  switch (handshake) {
    case TlsHandshake::full:
      return "full";
    case TlsHandshake::resumed:
      return "resumed";
    case TlsHandshake::failed:
      return "failed";
    case TlsHandshake::timed_out:
      return "timed_out";
    case TlsHandshake::plain_text:
      return "plain_text";
  }
  return "";
}

void GroupTotal::add(const GroupCells& cells) {
  requests.add(cells.requests);
  failures.add(cells.failures);
  tokens.add(cells.tokens);
  first_token.add(cells.first_token);
  duration.add(cells.duration);
}

void DeploymentTotal::add(const DeploymentCells& cells) {
  attempts.add(cells.attempts);
  cooldowns.add(cells.cooldowns);
}

void ProcessTotal::add(const ProcessCells& cells) {
  rejected.add(cells.rejected);
  hints.add(cells.hints);
  dropped_events.add(cells.dropped_events);
  recovered_streams.add(cells.recovered_streams);
  client_disconnects.add(cells.client_disconnects);
  pool_opened.add(cells.pool_opened);
  pool_reused.add(cells.pool_reused);
  tls_handshakes.add(cells.tls_handshakes);
  client_connections.add(cells.client_connections);
  pool_idle.add(cells.pool_idle);
  pool_busy.add(cells.pool_busy);
  overhead.add(cells.overhead);
}

}  // namespace spillway::server
