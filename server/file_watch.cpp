#include "server/file_watch.hpp"

#include <fmt/format.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace spillway::server {

namespace {

namespace fs = std::filesystem;

// A change is often several: a file and what it includes, or a rename for each of them.
constexpr Duration kQuiet = milliseconds(200);
constexpr Duration kPatience = seconds(2);  // with a directory in which something always happens
constexpr int kMostLinks = 40;              // on the way to one file, as in the kernel

// Not IN_MODIFY: what is half written is of no use. IN_CLOSE_WRITE follows.
constexpr std::uint32_t kEvents = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE |
                                  IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ATTRIB |
                                  IN_ONLYDIR;

std::int64_t nanoseconds_of(const timespec& time) {
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

std::optional<FileState> state_of(const fs::path& file) {
  struct stat found {};
  if (::stat(file.c_str(), &found) != 0) return std::nullopt;
  return FileState{found.st_dev, found.st_ino, found.st_size, nanoseconds_of(found.st_ctim),
                   nanoseconds_of(found.st_mtim)};
}

}  // namespace

FileStates states_of(const std::vector<fs::path>& files) {
  FileStates states;
  for (const fs::path& file : files) states.emplace(file, state_of(file));
  return states;
}

std::set<fs::path> directories_towards(const fs::path& file) {
  std::set<fs::path> directories;
  std::error_code ec;
  fs::path rest = fs::absolute(file, ec);
  for (int links = 0; links < kMostLinks; ++links) {
    fs::path reached;
    fs::path next;  // where the first link leads
    for (auto step = rest.begin(); step != rest.end(); ++step) {
      const fs::path at = reached / *step;
      if (fs::is_symlink(at, ec)) {
        directories.insert(reached);
        const fs::path target = fs::read_symlink(at, ec);
        next = target.is_absolute() ? target : reached / target;
        for (++step; step != rest.end(); ++step) next /= *step;
        break;
      }
      if (!fs::is_directory(at, ec)) break;  // the file itself, or where the way ends
      reached = at;
    }
    if (next.empty()) {
      directories.insert(reached);
      break;
    }
    rest = next;
  }
  return directories;
}

FileWatch::FileWatch(asio::io_context& io, TimePoint (*clock)(), std::function<void()> on_change)
    : clock_(clock), on_change_(std::move(on_change)), events_(io), quiet_(io) {
  const int descriptor = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (descriptor < 0) {
    problem_ = std::strerror(errno);
    return;
  }
  events_.assign(descriptor);
  wait();
}

std::string FileWatch::watch(const std::vector<fs::path>& files, FileStates seen) {
  seen_ = states_of(files);
  for (auto& [file, state] : seen_) {
    const auto before = seen.find(file);
    if (before != seen.end()) state = before->second;
  }
  watch_directories();
  if (problem_.empty()) look_soon();  // what happened while nobody watched
  return problem_;
}

void FileWatch::stop() {
  error_code ignored;
  events_.close(ignored);
  quiet_.cancel();
}

// Where the paths lead now. The kernel gives a directory that is watched already its old number.
void FileWatch::watch_directories() {
  if (!events_.is_open()) return;
  std::set<fs::path> wanted;
  for (const auto& [file, state] : seen_) wanted.merge(directories_towards(file));
  std::map<int, fs::path> now;
  problem_.clear();
  for (const fs::path& directory : wanted) {
    const int number = ::inotify_add_watch(events_.native_handle(), directory.c_str(), kEvents);
    if (number >= 0)
      now.emplace(number, directory);
    else
      problem_ = fmt::format("{}: {}", directory.string(), std::strerror(errno));
  }
  for (const auto& [number, directory] : directories_)
    if (!now.contains(number)) ::inotify_rm_watch(events_.native_handle(), number);
  directories_ = std::move(now);
}

void FileWatch::wait() {
  events_.async_wait(Descriptor::wait_read, [this](error_code ec) {
    if (ec) return;
    take_events();
    wait();
  });
}

void FileWatch::take_events() {
  alignas(inotify_event) std::array<char, 4096> buffer;
  bool matters = false;
  for (;;) {
    const ssize_t taken = ::read(events_.native_handle(), buffer.data(), buffer.size());
    if (taken <= 0) break;
    for (const char* at = buffer.data(); at < buffer.data() + taken;) {
      inotify_event event;
      std::memcpy(&event, at, sizeof event);
      const char* name = event.len > 0 ? at + sizeof event : "";
      matters = matters || may_matter(event.wd, event.mask, name);
      at += sizeof event + event.len;
    }
  }
  if (matters) look_soon();
}

// A regular file that was just created is about to be written; that it was written is told as well.
bool FileWatch::may_matter(int directory, std::uint32_t what, const char* name) const {
  if ((what & IN_CREATE) == 0) return true;
  const auto found = directories_.find(directory);
  if (found == directories_.end()) return true;
  struct stat created {};
  if (::lstat((found->second / name).c_str(), &created) != 0) return true;
  return !S_ISREG(created.st_mode) || created.st_nlink > 1;
}

void FileWatch::look_soon() {
  const TimePoint now = clock_();
  if (!first_event_) first_event_ = now;
  quiet_.expires_at(std::min(now + kQuiet, *first_event_ + kPatience));
  quiet_.async_wait([this](error_code ec) {
    if (!ec) look();
  });
}

void FileWatch::look() {
  first_event_.reset();
  watch_directories();
  bool changed = false;
  for (auto& [file, state] : seen_) {
    const auto now = state_of(file);
    changed = changed || now != state;
    state = now;
  }
  if (changed) on_change_();
}

}  // namespace spillway::server
