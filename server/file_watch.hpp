// Tells when files have changed, however they are replaced: rewritten in place, renamed over, or
// reached through a symbolic link that leads elsewhere now, as Kubernetes swaps what it mounts.
//
// The kernel (inotify) tells of events in the directories that the paths lead through; whether a
// file is another one is then seen by looking at it. A burst of events is one change: it is told
// when nothing has happened for a moment. File systems that do not tell, such as NFS written to
// from elsewhere, are not noticed.
#pragma once

#include <sys/types.h>

#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/time.hpp"
#include "server/asio.hpp"

namespace spillway::server {

// What tells one state of a file from another.
struct FileState {
  dev_t device{};
  ino_t inode{};
  off_t bytes{};
  std::int64_t changed_ns{}, written_ns{};
  bool operator==(const FileState&) const = default;
};
using FileStates = std::map<std::filesystem::path, std::optional<FileState>>;  // nullopt: not there

// As they are now, links followed.
FileStates states_of(const std::vector<std::filesystem::path>& files);

// The directories in which something happens when `file` becomes another file: its own, and that of
// every link on the way. In place of one that is missing stands the nearest that is there.
std::set<std::filesystem::path> directories_towards(const std::filesystem::path& file);

class FileWatch {
 public:
  // `clock` is the steady one. `on_change` is called on the event loop's thread.
  FileWatch(asio::io_context& io, TimePoint (*clock)(), std::function<void()> on_change);

  // From now on these files, and none else; `seen` is how they were when they were last read, and
  // what is not in it was read just now. Returns why watching is not possible, or an empty text.
  std::string watch(const std::vector<std::filesystem::path>& files, FileStates seen = {});
  void stop();

 private:
  using Descriptor = asio::posix::basic_stream_descriptor<Executor>;

  void watch_directories();
  void wait();
  void take_events();
  bool may_matter(int directory, std::uint32_t what, const char* name) const;
  void look_soon();
  void look();

  TimePoint (*const clock_)();
  std::function<void()> on_change_;
  Descriptor events_;
  Timer quiet_;
  std::optional<TimePoint> first_event_;  // of a burst that was not looked at yet
  FileStates seen_;
  std::map<int, std::filesystem::path> directories_;  // by inotify's number
  std::string problem_;
};

}  // namespace spillway::server
