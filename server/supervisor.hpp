// What the program that supervises this one is told, in systemd's words (sd_notify(3), daemon(7)),
// and the listening sockets that it hands over (sd_listen_fds(3)). A program that replaces itself
// hands its socket to the next one in the same way.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/time.hpp"

namespace spillway::server {

// Sends `state` ("READY=1") to NOTIFY_SOCKET, if there is one. Never waits; any thread.
void tell_supervisor(std::string_view state);

// "RELOADING=1", with the time that systemd wants to know, of the steady `clock`.
void tell_supervisor_reloading(TimePoint (*clock)());

// True if the supervisor restarts a process that does not say "WATCHDOG=1" every so often. Whoever
// takes over from a process that is watched is watched as well, whatever WATCHDOG_PID says.
bool is_watched_by_supervisor();

// A listening socket on its way from one process to another, and what LISTEN_FDNAMES calls it.
struct NamedSocket {
  int descriptor = -1;
  std::string name;  // kAdminSocket, or anything else: what clients arrive at
};
inline constexpr std::string_view kClientsSocket = "http";
inline constexpr std::string_view kAdminSocket = "admin";

// What a process was started with. Its descriptors are close-on-exec from here on.
struct Inheritance {
  std::vector<NamedSocket> sockets;  // listening, as far as whoever handed them over is right
  int ready = -1;  // to be written to when requests are served; -1: nobody waits for that
};

// Takes what LISTEN_FDS and kReadyVariable tell of, and removes both from the environment. To be
// called once, before threads are started.
Inheritance take_inheritance();

inline constexpr const char* kReadyVariable = "SPILLWAY_READY_FD";
inline constexpr int kFirstInherited = 3;  // SD_LISTEN_FDS_START

}  // namespace spillway::server
