#include "server/resolver.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <mutex>
#include <system_error>
#include <thread>

namespace spillway::server {

namespace {

constexpr Duration kPositiveLifetime = seconds(30);
constexpr Duration kNegativeLifetime = seconds(2);
constexpr Duration kStaleLifetime = minutes(10);  // a failing DNS server must not stop a known host

constexpr unsigned kMostLookups = 16;

// Blocks. Runs on a thread of its own.
std::vector<asio::ip::address> look_up(const std::string& host, error_code& ec) {
  asio::io_context unused;
  Tcp::resolver resolver(unused);
  std::vector<asio::ip::address> addresses;
  for (const auto& result : resolver.resolve(host, "", Tcp::resolver::numeric_service, ec))
    addresses.push_back(result.endpoint().address());
  if (!ec && addresses.empty()) ec = asio::error::host_not_found;
  return addresses;
}

}  // namespace

// How a thread reaches the worker, as long as there is one.
class Resolver::Mailbox {
 public:
  explicit Mailbox(Resolver& resolver) : resolver_(&resolver) {}

  void close() {
    const std::lock_guard lock(guard_);
    resolver_ = nullptr;
  }

  void deliver(std::string host, error_code ec, std::vector<asio::ip::address> addresses) {
    const std::lock_guard lock(guard_);
    if (!resolver_) return;
    asio::post(resolver_->io_, [resolver = resolver_, host = std::move(host), ec,
                                addresses = std::move(addresses)]() mutable {
      resolver->store(host, ec, std::move(addresses));
    });
  }

 private:
  std::mutex guard_;
  Resolver* resolver_;
};

Resolver::Resolver(asio::io_context& io, TimePoint (*clock)())
    : io_(io), clock_(clock), mailbox_(std::make_shared<Mailbox>(*this)) {}

Resolver::~Resolver() {
  close();
}

void Resolver::close() {
  mailbox_->close();
}

Awaitable<Resolver::Answer> Resolver::resolve(std::string host, Timer& waiter, TimePoint now) {
  Answer answer;
  error_code ec;
  const auto literal = asio::ip::make_address(host, ec);
  if (!ec) {
    answer.addresses.push_back(literal);
    co_return answer;
  }
  Entry& entry = entries_[host];
  if (now < entry.fresh_until) co_return answer_from(entry);
  if (!entry.running) {
    entry.running = true;
    queued_.push_back(host);
    start_queued();
  }
  if (!entry.addresses.empty() && now < entry.stale_until) co_return answer_from(entry);

  entry.waiters.push_back(&waiter);
  co_await waiter.async_wait(to(ec));
  std::erase(entry.waiters, &waiter);
  if (!ec) {
    answer.error = asio::error::timed_out;
    co_return answer;
  }
  co_return answer_from(entry);
}

void Resolver::start_queued() {
  while (!queued_.empty() && running_ < kMostLookups) {
    std::string host = std::move(queued_.front());
    queued_.pop_front();
    ++running_;
    try {
      std::thread([mailbox = mailbox_, host] {
        error_code ec;
        auto addresses = look_up(host, ec);
        mailbox->deliver(host, ec, std::move(addresses));
      }).detach();
    } catch (const std::system_error& error) {  // no more threads to be had
      mailbox_->deliver(host, error.code(), {});
    }
  }
}

void Resolver::store(const std::string& host, error_code ec,
                     std::vector<asio::ip::address> addresses) {
  const TimePoint now = clock_();
  Entry& entry = entries_[host];
  entry.running = false;
  entry.error = ec;
  if (!ec) {
    entry.addresses = std::move(addresses);
    entry.fresh_until = now + kPositiveLifetime;
    entry.stale_until = now + kStaleLifetime;
  } else {
    entry.fresh_until = now + kNegativeLifetime;
    if (now >= entry.stale_until) entry.addresses.clear();
  }
  for (Timer* waiter : entry.waiters) waiter->cancel();
  --running_;
  start_queued();
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
