#include "server/successor.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>

#include "server/supervisor.hpp"

namespace spillway::server {

namespace {

constexpr Duration kPatience = seconds(60);  // for a large configuration on a busy machine
constexpr int kNotStarted = 127;

std::string_view name_of(std::string_view variable) {
  return variable.substr(0, variable.find('='));
}

// Digits for LISTEN_PID: what a new process may do between fork and exec is very little.
void write_number(char* at, pid_t number) {
  std::array<char, 24> digits{};
  std::size_t count = 0;
  for (; number > 0; number /= 10) digits[count++] = static_cast<char>('0' + number % 10);
  while (count > 0) *at++ = digits[--count];
  *at = '\0';
}

// Everything that execve wants, made before the fork.
class Preparation {
 public:
  Preparation(const ProgramCall& call, const std::vector<NamedSocket>& listeners)
      : arguments_(call.arguments) {
    std::string names;
    for (const NamedSocket& listener : listeners)
      names += (names.empty() ? "" : ":") + listener.name;
    const std::vector<std::string> own = {
        fmt::format("LISTEN_FDS={}", listeners.size()), fmt::format("LISTEN_FDNAMES={}", names),
        fmt::format("{}={}", kReadyVariable, kFirstInherited + listeners.size()),
        kPid + std::string(24, ' ')};
    std::vector<std::string> added = call.environment;
    added.insert(added.end(), own.begin(), own.end());
    for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) {
      const bool replaced = std::ranges::any_of(
          added, [&](const std::string& mine) { return name_of(mine) == name_of(*variable); });
      if (!replaced) environment_.emplace_back(*variable);
    }
    environment_.insert(environment_.end(), added.begin(), added.end());
    for (std::string& argument : arguments_) argument_list_.push_back(argument.data());
    for (std::string& variable : environment_) environment_list_.push_back(variable.data());
    argument_list_.push_back(nullptr);
    environment_list_.push_back(nullptr);
  }

  // In the new process, which finds `descriptors` from kFirstInherited on. Does not return.
  void become(std::span<const int> descriptors) {
    write_number(environment_.back().data() + kPid.size(), ::getpid());
    bool placed = true;
    int place = kFirstInherited;
    for (const int descriptor : descriptors) placed = ::dup2(descriptor, place++) >= 0 && placed;
    if (::close_range(static_cast<unsigned>(place), ~0U, 0) != 0)  // a kernel before 5.9
      for (; place < most_descriptors_; ++place) ::close(place);
    // A file that is no program must not be run as a script, as execvpe() would.
    const bool named = std::strchr(argument_list_[0], '/') != nullptr;
    const auto execute = named ? ::execve : ::execvpe;
    if (placed) execute(argument_list_[0], argument_list_.data(), environment_list_.data());
    ::_exit(kNotStarted);
  }

 private:
  static constexpr std::string_view kPidName = "LISTEN_PID=";
  inline static const std::string kPid{kPidName};

  int most_descriptors_ = static_cast<int>(::sysconf(_SC_OPEN_MAX));
  std::vector<std::string> arguments_, environment_;
  std::vector<char*> argument_list_, environment_list_;
};

// Copies that are out of the way of the numbers that the new program expects things at.
class Copies {
 public:
  explicit Copies(const std::vector<int>& descriptors) {
    const int first_free = kFirstInherited + static_cast<int>(descriptors.size());
    for (const int descriptor : descriptors)
      copies_.push_back(::fcntl(descriptor, F_DUPFD_CLOEXEC, first_free));
  }
  ~Copies() {
    for (const int copy : copies_) ::close(copy);
  }
  Copies(const Copies&) = delete;
  Copies& operator=(const Copies&) = delete;
  bool complete() const { return std::ranges::find(copies_, -1) == copies_.end(); }
  std::span<const int> get() const { return copies_; }

 private:
  std::vector<int> copies_;
};

// Of a process that has closed its descriptors, and so is about to end unless it is not ours.
std::string how_it_ended(pid_t process) {
  constexpr timespec kStep{0, 1'000'000};
  int status = 0;
  pid_t ended = 0;
  for (int waited = 0; ended == 0 && waited < 100; ++waited) {
    ended = ::waitpid(process, &status, WNOHANG);
    if (ended == 0) ::nanosleep(&kStep, nullptr);
  }
  if (ended != process) {
    ::kill(process, SIGKILL);
    ::waitpid(process, nullptr, 0);
    return "it does not tell whether it is ready";
  }
  if (WIFSIGNALED(status)) return fmt::format("it was ended by signal {}", WTERMSIG(status));
  if (WEXITSTATUS(status) == kNotStarted) return "the program cannot be started";
  return fmt::format("it ended with exit code {}", WEXITSTATUS(status));
}

}  // namespace

Successor::Successor(asio::io_context& io, ProgramCall call,
                     std::function<void(Outcome)> on_outcome)
    : call_(std::move(call)), on_outcome_(std::move(on_outcome)), ready_(io), patience_(io) {}

Successor::~Successor() {
  let_go_or_end();
}

void Successor::start(const std::vector<NamedSocket>& listeners) {
  if (starting()) return;
  std::array<int, 2> ends{-1, -1};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) != 0)
    return on_outcome_(std::unexpected(std::string(std::strerror(errno))));
  child_ = spawn(listeners, ends[1]);
  const int problem = errno;
  ::close(ends[1]);
  ready_.assign(ends[0]);
  if (child_ < 0) return fail(std::strerror(problem));
  patience_.expires_after(kPatience);
  patience_.async_wait([this](error_code ec) {
    if (ec || !starting()) return;
    if (ready_after_all())
      on_ready();
    else
      fail("it did not become ready in time");
  });
  wait();
}

// -1: errno tells why there is none.
pid_t Successor::spawn(const std::vector<NamedSocket>& listeners, int ready) {
  Preparation preparation(call_, listeners);
  std::vector<int> descriptors;
  for (const NamedSocket& listener : listeners) descriptors.push_back(listener.descriptor);
  descriptors.push_back(ready);
  pid_t child = -1;
  int problem = EMFILE;
  {
    const Copies copies(descriptors);
    if (copies.complete()) {
      child = ::fork();
      problem = errno;
    }
    if (child == 0) preparation.become(copies.get());
  }
  errno = problem;
  return child;
}

void Successor::wait() {
  ready_.async_wait(Descriptor::wait_read, [this](error_code ec) {
    if (!ec) on_readable();
  });
}

void Successor::on_readable() {
  if (!starting()) return;
  char said = 0;
  const ssize_t taken = ::read(ready_.native_handle(), &said, 1);
  if (taken < 0 && (errno == EAGAIN || errno == EINTR)) return wait();
  if (taken <= 0) return fail("");
  on_ready();
}

void Successor::on_ready() {
  stop_listening();
  on_outcome_(std::exchange(child_, 0));
}

void Successor::stop_listening() {
  error_code ignored;
  ready_.close(ignored);
  patience_.cancel();
}

// After false it cannot say so any more.
bool Successor::ready_after_all() {
  char said = 0;
  if (::shutdown(ready_.native_handle(), SHUT_RD) != 0) return false;
  return ::read(ready_.native_handle(), &said, 1) == 1;
}

// An empty reason: the process has ended, or will say nothing any more.
void Successor::fail(std::string why) {
  stop_listening();
  const pid_t child = std::exchange(child_, 0);
  if (child > 0) {
    if (!why.empty()) ::kill(child, SIGKILL);
    const std::string end = how_it_ended(child);
    if (why.empty()) why = end;
  }
  on_outcome_(std::unexpected(std::move(why)));
}

void Successor::give_up() {
  const pid_t serves = let_go_or_end();
  if (serves > 0) on_outcome_(serves);
}

// The process, if it serves already; it goes on then.
pid_t Successor::let_go_or_end() {
  const pid_t child = std::exchange(child_, 0);
  const bool ready = child > 0 && ready_after_all();
  stop_listening();
  if (ready) return child;
  if (child > 0) {
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
  }
  return 0;
}

}  // namespace spillway::server
