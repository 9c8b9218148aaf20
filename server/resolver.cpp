#include "server/resolver.hpp"

#include <algorithm>

namespace spillway::server {

namespace {

constexpr Duration kPositiveLifetime = seconds(30);
constexpr Duration kNegativeLifetime = seconds(2);
constexpr Duration kStaleLifetime = minutes(10);  // a failing DNS server must not stop a known host

}  // namespace

Awaitable<Resolver::Answer> Resolver::resolve(std::string host, TimePoint deadline, TimePoint now) {
  Answer answer;
  error_code ec;
  const auto literal = asio::ip::make_address(host, ec);
  if (!ec) {
    answer.addresses.push_back(literal);
    co_return answer;
  }
  now_ = now;
  Entry& entry = entries_[host];
  if (now < entry.fresh_until) co_return answer_from(entry);
  if (!entry.running) start(host, entry);
  if (!entry.addresses.empty() && now < entry.stale_until) co_return answer_from(entry);

  Timer timer(io_.get_executor(), deadline);
  entry.waiters.push_back(&timer);
  co_await timer.async_wait(to(ec));
  std::erase(entry.waiters, &timer);
  if (!ec) {
    answer.error = asio::error::timed_out;
    co_return answer;
  }
  co_return answer_from(entry);
}

void Resolver::start(const std::string& host, Entry& entry) {
  entry.running = true;
  resolver_.async_resolve(host, "", Tcp::resolver::numeric_service,
                          [this, host](error_code ec, auto results) { store(host, ec, results); });
}

void Resolver::store(const std::string& host, error_code ec,
                     const asio::ip::basic_resolver_results<Tcp>& results) {
  Entry& entry = entries_[host];
  entry.running = false;
  std::vector<asio::ip::address> addresses;
  for (const auto& result : results) addresses.push_back(result.endpoint().address());
  if (!ec && addresses.empty()) ec = asio::error::host_not_found;
  entry.error = ec;
  if (!ec) {
    entry.addresses = std::move(addresses);
    entry.fresh_until = now_ + kPositiveLifetime;
    entry.stale_until = now_ + kStaleLifetime;
  } else {
    entry.fresh_until = now_ + kNegativeLifetime;
    if (now_ >= entry.stale_until) entry.addresses.clear();
  }
  for (Timer* waiter : entry.waiters) waiter->cancel();
}

Resolver::Answer Resolver::answer_from(Entry& entry) {
  Answer answer;
  answer.addresses = entry.addresses;
  if (answer.addresses.empty()) {
    answer.error = entry.error ? entry.error : error_code(asio::error::host_not_found);
  } else {
    const auto first = entry.rotation++ % answer.addresses.size();
    std::rotate(answer.addresses.begin(),
                answer.addresses.begin() + static_cast<std::ptrdiff_t>(first),
                answer.addresses.end());
  }
  return answer;
}

}  // namespace spillway::server
