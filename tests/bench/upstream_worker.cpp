#include "tests/bench/upstream_worker.hpp"

#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <memory>
#include <string_view>

#include "tests/bench/answers.hpp"
#include "tests/bench/net.hpp"

namespace spillway::bench {
namespace {

constexpr std::size_t kReadBytes = 256 * 1024;
constexpr std::size_t kLookedAtBytes = 256;  // of a body: where its stream is described
constexpr std::size_t kHeadBytes = 64 * 1024;
constexpr int kEventsAtOnce = 512;
constexpr std::uint64_t kNsPerMs = 1'000'000;

std::uint64_t number_after(std::string_view text, std::string_view mark) {
  const std::size_t at = text.find(mark);
  std::uint64_t number = 0;
  if (at != text.npos)
    std::from_chars(text.data() + at + mark.size(), text.data() + text.size(), number);
  return number;
}

// The declared length of a request's body; 0 without one.
std::uint64_t content_length(std::string_view head) {
  constexpr std::string_view kName = "content-length:";
  for (std::size_t at = head.find("\r\n"); at != head.npos; at = head.find("\r\n", at + 2)) {
    const std::string_view line = head.substr(at + 2);
    if (line.size() < kName.size() || ::strncasecmp(line.data(), kName.data(), kName.size()) != 0)
      continue;
    std::size_t digits = kName.size();
    while (digits < line.size() && line[digits] == ' ') ++digits;
    std::uint64_t length = 0;
    std::from_chars(line.data() + digits, line.data() + line.size(), length);
    return length;
  }
  return 0;
}

}  // namespace

UpstreamWorker::UpstreamWorker() : epoll_(::epoll_create1(EPOLL_CLOEXEC)), buffer_(kReadBytes) {
  if (epoll_ < 0) give_up("epoll_create1");
}

void UpstreamWorker::adopt(int socket, SSL_CTX* tls) {
  // Owned by this worker's thread from the moment epoll knows it; close() deletes it.
  auto made = std::make_unique<Connection>();
  made->socket = socket;
  if (tls != nullptr) {
    made->tls = SSL_new(tls);
    SSL_set_fd(made->tls, socket);
    SSL_set_accept_state(made->tls);
  }
  epoll_event interest{.events = EPOLLIN | EPOLLRDHUP, .data = {.ptr = made.get()}};
  if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, socket, &interest) != 0) give_up("epoll_ctl");
  static_cast<void>(made.release());
}

void UpstreamWorker::run() {
  std::vector<epoll_event> ready(kEventsAtOnce);
  for (;;) {
    int timeout_ms = -1;
    if (!due_.empty()) {
      const std::uint64_t now = now_ns();
      const std::uint64_t at = due_.top().at_ns;
      timeout_ms = at <= now ? 0 : static_cast<int>((at - now + kNsPerMs - 1) / kNsPerMs);
    }
    const int count = ::epoll_wait(epoll_, ready.data(), kEventsAtOnce, timeout_ms);
    for (int i = 0; i < count; ++i)
      serve(*static_cast<Connection*>(ready[static_cast<std::size_t>(i)].data.ptr),
            ready[static_cast<std::size_t>(i)].events);
    if (!due_.empty()) send_due_events(now_ns());
  }
}

void UpstreamWorker::serve(Connection& connection, std::uint32_t events) {
  if ((events & EPOLLOUT) != 0 && !flush(connection)) return close(connection);
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0 && !read(connection))
    close(connection);
}

bool UpstreamWorker::read(Connection& connection) {
  if (connection.tls == nullptr) {
    const ssize_t got = ::recv(connection.socket, buffer_.data(), buffer_.size(), 0);
    if (got < 0) return errno == EAGAIN;
    return got > 0 && take(connection, {buffer_.data(), static_cast<std::size_t>(got)});
  }
  do {
    const int got = SSL_read(connection.tls, buffer_.data(), static_cast<int>(buffer_.size()));
    if (got <= 0) return SSL_get_error(connection.tls, got) == SSL_ERROR_WANT_READ;
    if (!take(connection, {buffer_.data(), static_cast<std::size_t>(got)})) return false;
  } while (SSL_pending(connection.tls) > 0);
  return true;
}

bool UpstreamWorker::take(Connection& connection, std::string_view bytes) {
  if (connection.to_skip >= bytes.size() && connection.pending.empty()) {
    // The rest of a large body: counted, never kept.
    connection.to_skip -= bytes.size();
    return connection.to_skip > 0 || answer(connection);
  }
  connection.pending += bytes;
  return take_requests(connection);
}

bool UpstreamWorker::take_requests(Connection& connection) {
  std::string& pending = connection.pending;
  while (!pending.empty()) {
    const std::size_t end = pending.find("\r\n\r\n");
    if (end == pending.npos) return pending.size() < kHeadBytes;
    const std::string_view head = std::string_view(pending).substr(0, end);
    const std::uint64_t length = content_length(head);
    const std::string_view body = std::string_view(pending).substr(end + 4);
    if (body.size() < length && body.size() < kLookedAtBytes) return true;
    const std::string_view asked = body.substr(0, kLookedAtBytes);
    connection.events_left = number_after(asked, "\"events\":");
    connection.interval_ns = number_after(asked, "\"interval_us\":") * 1000;
    connection.answer_bytes = number_after(asked, "\"answer_bytes\":");
    connection.status = number_after(asked, "\"status\":");
    if (body.size() < length) {
      connection.to_skip = length - body.size();
      pending.clear();
      return true;
    }
    if (!answer(connection)) return false;
    pending.erase(0, end + 4 + length);
  }
  return true;
}

bool UpstreamWorker::answer(Connection& connection) {
  if (connection.status != 0) return send(connection, failure(connection.status));
  if (connection.answer_bytes != 0)
    return send(connection, answer_of(static_cast<std::size_t>(connection.answer_bytes)));
  if (connection.events_left == 0) return send(connection, plain_answer());

  connection.serial = ++last_serial_;
  connection.answering = true;
  streams_[connection.serial] = &connection;
  if (!send(connection, stream_head())) return false;
  const std::uint64_t now = now_ns();
  return send_event(connection, Due{now, connection.serial}, now);
}

void UpstreamWorker::send_due_events(std::uint64_t now) {
  while (!due_.empty() && due_.top().at_ns <= now) {
    const Due due = due_.top();
    due_.pop();
    const auto found = streams_.find(due.serial);
    if (found != streams_.end() && !send_event(*found->second, due, now)) close(*found->second);
  }
}

bool UpstreamWorker::send_event(Connection& connection, const Due& due, std::uint64_t now) {
  event_.clear();
  append_event(event_, now);
  if (--connection.events_left == 0) {
    event_ += stream_end();
    streams_.erase(connection.serial);
    connection.answering = false;
  } else {
    due_.push(Due{due.at_ns + connection.interval_ns, due.serial});
  }
  return send(connection, event_);
}

bool UpstreamWorker::send(Connection& connection, std::string_view bytes) {
  connection.out += bytes;
  // The peer does not take what is there already: epoll tells when it does.
  return connection.wants_to_write || flush(connection);
}

bool UpstreamWorker::flush(Connection& connection) {
  std::string& out = connection.out;
  while (!out.empty()) {
    ssize_t sent = 0;
    if (connection.tls == nullptr) {
      sent = ::send(connection.socket, out.data(), out.size(), MSG_NOSIGNAL);
      if (sent < 0 && errno != EAGAIN) return false;
    } else {
      sent = SSL_write(connection.tls, out.data(), static_cast<int>(out.size()));
      if (sent <= 0 &&
          SSL_get_error(connection.tls, static_cast<int>(sent)) != SSL_ERROR_WANT_WRITE)
        return false;
    }
    if (sent <= 0) return watch(connection, true);
    out.erase(0, static_cast<std::size_t>(sent));
  }
  return !connection.wants_to_write || watch(connection, false);
}

bool UpstreamWorker::watch(Connection& connection, bool for_writing) {
  connection.wants_to_write = for_writing;
  const std::uint32_t events = EPOLLIN | EPOLLRDHUP | (for_writing ? EPOLLOUT : 0U);
  epoll_event interest{.events = events, .data = {.ptr = &connection}};
  return ::epoll_ctl(epoll_, EPOLL_CTL_MOD, connection.socket, &interest) == 0;
}

void UpstreamWorker::close(Connection& connection) {
  if (connection.answering) streams_.erase(connection.serial);
  if (connection.tls != nullptr) SSL_free(connection.tls);
  ::close(connection.socket);
  delete &connection;
}

}  // namespace spillway::bench
