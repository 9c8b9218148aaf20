#include "server/upstream_connection.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/url/parse.hpp>
#include <cerrno>

#include "server/upstream_head.hpp"
#include "server/worker.hpp"

namespace spillway::server {

namespace {

constexpr std::size_t kTunnelAnswerBytes = 8192;
// What one of several addresses gets at least, before the next one is tried.
constexpr Duration kLeastPerAddress = seconds(1);

std::string base64(const std::string& text) {
  std::string out((text.size() + 2) / 3 * 4 + 1, '\0');  // OpenSSL adds a NUL
  const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
  const int n = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()), bytes,
                                static_cast<int>(text.size()));
  out.resize(static_cast<std::size_t>(n));
  return out;
}

bool bypasses_proxy(const ProxySettings& settings, const std::string& host) {
  return std::ranges::any_of(settings.no_proxy, [&](std::string_view entry) {
    if (entry == "*" || entry == host) return true;
    if (entry.starts_with('.')) entry.remove_prefix(1);
    return host.size() > entry.size() && host.ends_with(entry) &&
           host[host.size() - entry.size() - 1] == '.';
  });
}

bool is_loopback(const std::string& host) {
  error_code ec;
  const auto address = asio::ip::make_address(host, ec);
  return host == "localhost" || (!ec && address.is_loopback());
}

// The machine's fault, not the provider's.
bool is_exhausted(const error_code& ec) {
  return ec == boost::system::errc::too_many_files_open ||
         ec == boost::system::errc::too_many_files_open_in_system ||
         ec == boost::system::errc::address_not_available ||
         ec == boost::system::errc::no_buffer_space ||
         ec == boost::system::errc::no_space_on_device ||  // for what epoll(7) keeps of a socket
         ec == boost::system::errc::not_enough_memory;
}

}  // namespace

std::optional<ProxyRoute> proxy_for(const ProxySettings& settings, const Origin& origin) {
  const std::string& text = origin.tls ? settings.https_proxy : settings.http_proxy;
  if (text.empty() || is_loopback(origin.host) || bypasses_proxy(settings, origin.host))
    return std::nullopt;
  const auto url = boost::urls::parse_uri(text);
  if (!url || url->host_address().empty()) return std::nullopt;
  ProxyRoute route;
  route.host = url->host_address();
  route.port = url->has_port() ? url->port_number() : std::uint16_t{80};
  if (url->has_userinfo())
    route.authorization = "Basic " + base64(url->user() + ":" + url->password());
  return route;
}

UpstreamConnection::UpstreamConnection(Worker& worker, Origin origin)
    : worker_(worker),
      socket_(worker.loop(),
              [this] {
                if (sending_)
                  look_at_early_answer();
                else if (on_idle_event_)
                  on_idle_event_();
              }),
      origin_(std::move(origin)),
      deadline_(worker.deadlines(), [this] {
        timed_out_ = true;
        socket_.close();
      }) {}

Awaitable<std::optional<TransportFailure>> UpstreamConnection::connect(
    std::optional<ProxyRoute> proxy, TimePoint deadline) {
  const std::string host = proxy ? proxy->host : origin_.host;
  const std::uint16_t port = proxy ? proxy->port : origin_.port;
  auto problem = co_await connect_tcp(host, port, deadline);
  deadline_.arm(deadline);
  if (!problem && proxy && origin_.tls) problem = co_await open_tunnel(*proxy);
  if (!problem && origin_.tls) problem = co_await shake_hands();
  deadline_.disarm();
  if (problem) close();
  co_return problem;
}

Awaitable<std::optional<TransportFailure>> UpstreamConnection::connect_tcp(std::string host,
                                                                           std::uint16_t port,
                                                                           TimePoint deadline) {
  resolving_ = std::make_unique<Timer>(worker_.loop().io(), deadline);
  Resolver::Answer answer;
  {
    const WorkerLoop::TimerWait looked_up(worker_.loop());
    answer = co_await worker_.resolver().resolve(std::move(host), *resolving_, worker_.now());
  }
  resolving_.reset();
  if (answer.error) co_return failure(TransportPhase::resolve, answer.error);
  error_code ec = asio::error::host_not_found;
  auto left = static_cast<int>(answer.addresses.size());
  for (const auto& address : answer.addresses) {
    const TimePoint now = worker_.now();
    if (closed_ || now >= deadline) break;
    // A silent address must not use up the time of those behind it.
    const Duration share = std::max<Duration>((deadline - now) / left--, kLeastPerAddress);
    timed_out_ = false;
    deadline_.arm(std::min(deadline, now + share));
    socket_.connect(Tcp::endpoint(address, port), ec);
    if (!ec) co_await socket_.writable(ec);
    if (!ec) ec = socket_.connected();
    deadline_.disarm();
    if (timed_out_) ec = asio::error::timed_out;
    if (!ec) break;
  }
  if (!ec && closed_) ec = asio::error::operation_aborted;
  if (ec) co_return failure(TransportPhase::connect, ec);
  co_return std::nullopt;
}

Awaitable<std::optional<TransportFailure>> UpstreamConnection::open_tunnel(ProxyRoute proxy) {
  const std::string authority = fmt::format("{}:{}", bracketed(origin_.host), origin_.port);
  std::string request = fmt::format("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n", authority);
  if (!proxy.authorization.empty())
    request += fmt::format("Proxy-Authorization: {}\r\n", proxy.authorization);
  request += "\r\n";
  error_code ec;
  Buffers unsent(1, asio::buffer(request));
  while (!ec && !write_at_once(unsent, ec)) co_await wait(ec);
  std::string answer;
  while (!ec && answer.find("\r\n\r\n") == std::string::npos) {
    if (answer.size() >= kTunnelAnswerBytes) break;
    // One byte at a time: what follows the answer's head is already the provider's TLS.
    char byte = 0;
    if (socket_.read_some(std::span(&byte, 1), ec) == 1) answer += byte;
    if (ec == asio::error::would_block) co_await socket_.readable(ec);
  }
  if (ec) co_return failure(TransportPhase::connect, ec);
  if (!answer.starts_with("HTTP/1.1 200") && !answer.starts_with("HTTP/1.0 200")) {
    TransportFailure refused = failure(TransportPhase::connect, {});
    refused.detail = "the proxy refused the tunnel";
    co_return refused;
  }
  co_return std::nullopt;
}

Awaitable<std::optional<TransportFailure>> UpstreamConnection::shake_hands() {
  try {
    tls_ = worker_.tls().make_socket(socket_, origin_);
  } catch (const boost::system::system_error& error) {
    TransportFailure unusable = failure(TransportPhase::tls, error.code());
    unusable.detail =
        fmt::format("cannot be verified{}{}: {}", origin_.ca_file.empty() ? "" : " by ",
                    origin_.ca_file, error.what());
    co_return unusable;
  }
  error_code ec;
  for (;;) {
    wants_ = tls_->shake_hands(ec);
    if (wants_ == Wants::nothing) break;
    co_await wait(ec);
    if (ec) break;
  }
  if (!ec && !timed_out_) co_return std::nullopt;
  TransportFailure broken = failure(TransportPhase::tls, ec);
  const std::string why = TlsClient::verification_problem(tls_->native_handle());
  if (!why.empty()) broken.detail = "certificate not trusted: " + why;
  co_return broken;
}

TransportFailure UpstreamConnection::failure(TransportPhase phase, const error_code& ec) const {
  TransportFailure result;
  result.phase = phase;
  const bool late = timed_out_ || ec == asio::error::timed_out;
  result.cause = late               ? TransportCause::timed_out
                 : is_exhausted(ec) ? TransportCause::exhausted
                                    : TransportCause::failed;
  result.detail = late ? "deadline passed" : ec.message();
  return result;
}

void UpstreamConnection::fix_error(error_code& ec) const {
  if (timed_out_) ec = asio::error::timed_out;
}

void UpstreamConnection::begin_wait(error_code& ec, coroutine::Chain::Waiting waiting) {
  switch (std::exchange(wants_, Wants::nothing)) {
    case Wants::readable:
      return socket_.wait_readable(ec, std::move(waiting));
    case Wants::writable:
      return socket_.wait_writable(ec, std::move(waiting));
    case Wants::nothing:  // but to give others their turn
      return worker_.loop().let_others_first(std::move(waiting));
  }
}

// An answer is waited for; only where the last read filled the buffer is there likely to be more.
void UpstreamConnection::begin_read(TimePoint deadline) {
  deadline_.arm(deadline);
  may_read_ = more_likely_ || (tls_ && tls_->has_pending());
  wants_ = may_read_ ? Wants::nothing : Wants::readable;
  if (may_read_ && ++reads_without_wait_ < kReadsWithoutWait) return;
  reads_without_wait_ = 0;
  may_read_ = false;
}

bool UpstreamConnection::read_at_once(ReadBuffer::Borrower& reader, std::string_view front,
                                      std::string_view& received, error_code& ec) {
  if (!std::exchange(may_read_, true)) return false;
  if (!ec) wants_ = try_read(reader, front, received, ec);
  if (!ec && wants_ != Wants::nothing) {
    reads_without_wait_ = 0;
    return false;
  }
  deadline_.disarm();
  fix_error(ec);
  return true;
}

TlsSocket::Wants UpstreamConnection::try_read(ReadBuffer::Borrower& reader, std::string_view front,
                                              std::string_view& received, error_code& ec) {
  const auto lent = worker_.read_buffer().lend(reader);
  std::ranges::copy(front, lent.begin());
  const auto room = lent.subspan(front.size());
  const auto buffer = room.first(std::min(room.size(), most_));
  std::size_t n = 0;
  auto wants = Wants::nothing;
  if (tls_) {
    wants = tls_->read(buffer, n, ec);
  } else {
    n = socket_.read_some(buffer, ec);
    if (ec == asio::error::would_block) {
      ec = {};
      wants = Wants::readable;
    }
  }
  more_likely_ = n == buffer.size();
  received = n == 0 ? std::string_view() : std::string_view(lent.data(), front.size() + n);
  return wants;
}

bool UpstreamConnection::write_at_once(Buffers& buffers, error_code& ec) {
  if (tls_) {
    wants_ = tls_->write(buffers, ec);
  } else {
    write_now(socket_, buffers, ec);
    wants_ = ec || buffers.empty() ? Wants::nothing : Wants::writable;
  }
  return wants_ == Wants::nothing;
}

Awaitable<void> UpstreamConnection::write(Buffers buffers, TimePoint deadline, error_code& ec) {
  deadline_.arm(deadline);
  sending_ = !tls_;
  if (sending_) socket_.watch();
  while (!write_at_once(buffers, ec)) {
    co_await wait(ec);
    if (ec) break;
  }
  socket_.unwatch();
  sending_ = false;
  deadline_.disarm();
  fix_error(ec);
}

// A provider that answers before it has read everything refuses the request: sending the rest would
// only hold up its answer. An interim answer refuses nothing.
void UpstreamConnection::look_at_early_answer() {
  constexpr std::string_view kInterim = "HTTP/1.1 1";
  char start[kInterim.size()];
  const auto n = ::recv(socket_.native_handle(), start, sizeof start, MSG_PEEK | MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return socket_.watch();
  if (n > 0 && std::string_view(start, static_cast<std::size_t>(n)) == kInterim) return;
  answered_early_ = true;
  error_code ec;
  socket_.end_sending(ec);
}

bool UpstreamConnection::nothing_buffered() const {
  return !socket_.owes() && (!tls_ || !tls_->has_pending());
}

void UpstreamConnection::close() {
  closed_ = true;
  if (resolving_) resolving_->cancel();
  socket_.close();
}

void UpstreamConnection::watch_idle(std::function<void()> on_event) {
  on_idle_event_ = std::move(on_event);
  socket_.watch();
}

}  // namespace spillway::server
