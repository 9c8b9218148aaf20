#include "tests/bench/load_run.hpp"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <ctime>
#include <utility>

#include "tests/bench/net.hpp"

namespace spillway::bench {
namespace {

constexpr std::size_t kReadBytes = 256 * 1024;
constexpr int kEventsAtOnce = 512;
constexpr std::uint64_t kNsPerSecond = 1'000'000'000;
constexpr std::uint64_t kGraceNs = 10 * kNsPerSecond;  // for what is on its way when time is over
constexpr std::uint64_t kLongestWaitNs = kNsPerSecond / 10;

}  // namespace

LoadRun::LoadRun(LoadPlan plan)
    : plan_(std::move(plan)), epoll_(::epoll_create1(EPOLL_CLOEXEC)), buffer_(kReadBytes) {
  if (epoll_ < 0) give_up("epoll_create1");
  interval_ns_ = 1e9 / (plan_.mode == LoadMode::open ? plan_.rate : plan_.open_rate);
  if (plan_.hold) {
    epoll_event interest{.events = EPOLLIN, .data = {.ptr = nullptr}};
    if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, STDIN_FILENO, &interest) != 0) give_up("epoll_ctl");
  }
}

bool LoadRun::over(std::uint64_t now) const {
  if (released_ || now >= end_ns_ + kGraceNs) return true;
  return !plan_.hold && now >= end_ns_ && in_flight_ == 0;
}

Findings LoadRun::run() {
  begun_ns_ = now_ns();
  end_ns_ = begun_ns_ + static_cast<std::uint64_t>(plan_.seconds * 1e9);
  if (plan_.mode == LoadMode::open) {
    // All of them first: the rate is kept from the first request on.
    while (connections_.size() < plan_.connections) connect();
    begun_ns_ = now_ns();
    end_ns_ = begun_ns_ + static_cast<std::uint64_t>(plan_.seconds * 1e9);
  }
  std::vector<epoll_event> ready(kEventsAtOnce);
  std::uint64_t now = begun_ns_;
  while (!over(now)) {
    begin_due(now);
    const std::uint64_t wait = patience(now_ns());
    const timespec timeout{static_cast<time_t>(wait / kNsPerSecond),
                           static_cast<long>(wait % kNsPerSecond)};
    const int count = ::epoll_pwait2(epoll_, ready.data(), kEventsAtOnce, &timeout, nullptr);
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = ready[static_cast<std::size_t>(i)];
      if (event.data.ptr == nullptr) {
        char ignored = 0;
        released_ = ::read(STDIN_FILENO, &ignored, 1) <= 0;
        continue;
      }
      Connection& connection = *static_cast<Connection*>(event.data.ptr);
      if ((event.events & EPOLLOUT) != 0) send(connection);
      if (connection.socket >= 0 && (event.events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
        read(connection);
    }
    now = now_ns();
  }
  found_.unanswered = plan_.hold ? 0 : in_flight_ + waiting_.size();
  found_.seconds = static_cast<double>(now - begun_ns_) / 1e9;
  for (const Connection& connection : connections_)
    if (connection.socket >= 0) ::close(connection.socket);
  return std::move(found_);
}

std::uint64_t LoadRun::patience(std::uint64_t now) const {
  const bool more =
      plan_.mode == LoadMode::open ? now < end_ns_ : connections_.size() < plan_.connections;
  if (!more) return kLongestWaitNs;
  const auto due =
      begun_ns_ + static_cast<std::uint64_t>(interval_ns_ * static_cast<double>(planned_));
  return due <= now ? 0 : std::min(due - now, kLongestWaitNs);
}

void LoadRun::begin_due(std::uint64_t now) {
  if (plan_.mode == LoadMode::open) return begin_planned(now);
  while (connections_.size() < plan_.connections && now < end_ns_ &&
         static_cast<double>(now - begun_ns_) >= interval_ns_ * static_cast<double>(planned_)) {
    ++planned_;
    connect();
    if (connections_.back().socket >= 0) begin(connections_.back(), now_ns());
    now = now_ns();
  }
}

void LoadRun::begin_planned(std::uint64_t now) {
  while (now < end_ns_) {
    const auto due =
        begun_ns_ + static_cast<std::uint64_t>(interval_ns_ * static_cast<double>(planned_));
    if (due > now) return;
    ++planned_;
    found_.lateness.push_back(now - due);
    if (free_.empty()) {
      waiting_.push_back(due);
    } else {
      Connection* connection = free_.front();
      free_.pop_front();
      begin(*connection, now_ns());
    }
    now = now_ns();
  }
}

void LoadRun::connect() {
  Connection& made = connections_.emplace_back();
  made.socket = connect_to_loopback(plan_.port);
  if (made.socket < 0) {
    ++found_.refused;
    return;
  }
  watch(made, false, EPOLL_CTL_ADD);
  if (plan_.mode == LoadMode::open) free_.push_back(&made);
}

void LoadRun::begin(Connection& connection, std::uint64_t due_ns) {
  connection.begun_ns = due_ns;
  connection.has_event = false;
  connection.sent = 0;
  connection.reader.reset();
  ++in_flight_;
  send(connection);
}

void LoadRun::send(Connection& connection) {
  const std::string_view rest = std::string_view(plan_.request).substr(connection.sent);
  if (rest.empty()) return;
  const ssize_t sent = ::send(connection.socket, rest.data(), rest.size(), MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN) return lose(connection);
  if (sent > 0) connection.sent += static_cast<std::size_t>(sent);
  const bool blocked = connection.sent < plan_.request.size();
  if (blocked != connection.blocked) watch(connection, blocked, EPOLL_CTL_MOD);
  connection.blocked = blocked;
}

void LoadRun::read(Connection& connection) {
  const ssize_t got = ::recv(connection.socket, buffer_.data(), buffer_.size(), 0);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0 || connection.begun_ns == 0) return lose(connection);
  const std::uint64_t now = now_ns();
  const auto state = connection.reader.take({buffer_.data(), static_cast<std::size_t>(got)});
  if (state == AnswerReader::State::broken) return lose(connection);
  note(connection, now);
  if (state == AnswerReader::State::complete) finish(connection, now);
}

void LoadRun::note(Connection& connection, std::uint64_t now) {
  const std::vector<std::uint64_t>& events = connection.reader.events();
  if (events.empty()) return;
  if (!connection.has_event) {
    connection.has_event = true;
    found_.first_events.push_back(now - connection.begun_ns);
    ++settled_;
    say_ready_once();
  }
  found_.events += events.size();
  if (plan_.hold) return;  // what is held may go on for long: nothing is kept of each event
  for (const std::uint64_t sent : events)
    if (sent != 0 && sent <= now) found_.event_delays.push_back(now - sent);
}

void LoadRun::finish(Connection& connection, std::uint64_t now) {
  --in_flight_;
  const int status = connection.reader.status();
  if (status != 200) {
    ++found_.other_statuses[status];
  } else if (plan_.mode == LoadMode::streams && !connection.reader.done()) {
    ++found_.broken;
  } else {
    ++found_.answered;
    found_.latencies.push_back(now - connection.begun_ns);
  }
  connection.begun_ns = 0;
  if (plan_.mode == LoadMode::idle) {
    ++settled_;
    return say_ready_once();
  }
  if (plan_.mode != LoadMode::open) {
    if (now < end_ns_) begin(connection, now_ns());
    return;
  }
  if (waiting_.empty()) {
    free_.push_back(&connection);
  } else {
    const std::uint64_t due = waiting_.front();
    waiting_.pop_front();
    begin(connection, due);
  }
}

void LoadRun::lose(Connection& connection) {
  // A connection that is closed without a request on it is a fault as well: none of the proxies is
  // asked to.
  ++found_.broken;
  if (connection.begun_ns != 0) --in_flight_;
  connection.begun_ns = 0;
  ::close(connection.socket);
  connection.socket = -1;
  std::erase(free_, &connection);
}

void LoadRun::watch(Connection& connection, bool for_writing, int operation) {
  epoll_event interest{.events = EPOLLIN | (for_writing ? EPOLLOUT : 0U),
                       .data = {.ptr = &connection}};
  if (::epoll_ctl(epoll_, operation, connection.socket, &interest) != 0) give_up("epoll_ctl");
}

void LoadRun::say_ready_once() {
  if (!plan_.hold || said_ready_ || settled_ < plan_.connections) return;
  said_ready_ = true;
  std::printf("ready\n");
  std::fflush(stdout);
}

}  // namespace spillway::bench
