#include "server/supervisor.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <optional>

namespace spillway::server {

namespace {

constexpr int kMostSockets = 64;

std::optional<int> number_in(const char* variable) {
  const char* text = std::getenv(variable);
  if (text == nullptr) return std::nullopt;
  int number = 0;
  const char* end = text + std::strlen(text);
  const auto [rest, error] = std::from_chars(text, end, number);
  if (error != std::errc{} || rest != end) return std::nullopt;
  return number;
}

// What LISTEN_FDNAMES calls the socket at `index`; empty if it says nothing.
std::string name_of_socket(int index) {
  const char* text = std::getenv("LISTEN_FDNAMES");
  std::string_view names = text ? text : "";
  for (; index > 0; --index) {
    const auto colon = names.find(':');
    names.remove_prefix(colon == std::string_view::npos ? names.size() : colon + 1);
  }
  return std::string(names.substr(0, names.find(':')));
}

bool close_on_exec(int descriptor) {
  return ::fcntl(descriptor, F_SETFD, FD_CLOEXEC) == 0;
}

}  // namespace

void tell_supervisor(std::string_view state) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  if (path == nullptr) return;
  sockaddr_un address{};
  const std::size_t length = std::strlen(path);
  if (length < 2 || length >= sizeof address.sun_path) return;
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path, length);
  if (path[0] == '@') address.sun_path[0] = '\0';  // an abstract name
  const int descriptor = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (descriptor < 0) return;
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length);
  ::sendto(descriptor, state.data(), state.size(), MSG_NOSIGNAL,
           reinterpret_cast<const sockaddr*>(&address), size);
  ::close(descriptor);
}

void tell_supervisor_reloading(TimePoint (*clock)()) {
  const auto since_boot =
      std::chrono::duration_cast<std::chrono::microseconds>(clock().time_since_epoch());
  tell_supervisor(fmt::format("RELOADING=1\nMONOTONIC_USEC={}", since_boot.count()));
}

bool is_watched_by_supervisor() {
  return std::getenv("WATCHDOG_USEC") != nullptr;
}

Inheritance take_inheritance() {
  Inheritance inheritance;
  const auto sockets = number_in("LISTEN_FDS");
  if (sockets && number_in("LISTEN_PID") == static_cast<int>(::getpid())) {
    for (int i = 0; i < *sockets && i < kMostSockets; ++i)
      if (close_on_exec(kFirstInherited + i))
        inheritance.sockets.push_back({kFirstInherited + i, name_of_socket(i)});
    const auto ready = number_in(kReadyVariable);
    if (ready && close_on_exec(*ready)) inheritance.ready = *ready;
  }
  for (const char* variable : {"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", kReadyVariable})
    ::unsetenv(variable);
  return inheritance;
}

}  // namespace spillway::server
