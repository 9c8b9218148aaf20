#include "server/log.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spdlog/async_logger.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/sinks/base_sink.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <mutex>
#include <thread>

#include "core/bounds.hpp"
#include "server/log_files.hpp"
#include "server/log_lines.hpp"

namespace spillway::server {
namespace {

constexpr int kFileFlags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NONBLOCK;

std::string because(int error, const std::string& path) {
  return fmt::format("{}: {}", path, std::strerror(error));
}

// Writes to a descriptor without stdio, whose lock a stalled reader would hold until the process
// ends.
class DescriptorSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit DescriptorSink(int descriptor) : descriptor_(descriptor) {}
  void write_to(int descriptor) { descriptor_ = descriptor; }
  std::size_t written() const { return written_; }
  std::size_t lost() const { return lost_; }

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    write_all(line.data(), line.size());
    ++written_;
  }
  void flush_() override {}

  // A line that cannot be written is lost, and counted.
  void write_all(const char* bytes, std::size_t size) {
    while (size > 0) {
      const ssize_t taken = ::write(descriptor_, bytes, size);
      if (taken >= 0) {
        bytes += taken;
        size -= static_cast<std::size_t>(taken);
      } else if (errno == EAGAIN) {  // a pipe, or somebody else made the terminal non-blocking
        pollfd writable{descriptor_, POLLOUT, 0};
        ::poll(&writable, 1, -1);
      } else if (errno != EINTR) {
        ++lost_;
        return;
      }
    }
  }

  std::atomic<int> descriptor_;
  std::atomic<std::size_t> written_{0};
  std::atomic<std::size_t> lost_{0};
};

// A bounded queue with its own writing thread, so that a reader of one stream who stalls does not
// hold up the other.
class Channel {
 public:
  Channel(std::size_t queue, int descriptor, const char* pattern)
      : standard_(descriptor),
        sink_(std::make_shared<DescriptorSink>(descriptor)),
        pool_(std::make_shared<spdlog::details::thread_pool>(queue, 1)),
        logger_(std::make_shared<spdlog::async_logger>(
            "", sink_, pool_, spdlog::async_overflow_policy::overrun_oldest)) {
    logger_->set_pattern(pattern, spdlog::pattern_time_type::utc);
  }

  void write(spdlog::level::level_enum level, std::string_view line) {
    if (closed_ || !logger_->should_log(level)) return;
    ++queued_;
    logger_->log(level, spdlog::string_view_t(line.data(), line.size()));
  }
  bool writes(spdlog::level::level_enum level) const { return logger_->should_log(level); }
  void set_level(spdlog::level::level_enum level) { logger_->set_level(level); }
  std::size_t dropped() const { return pool_->overrun_counter() + sink_->lost(); }

  // Why the file cannot be opened, or an empty text. An empty path: the standard stream.
  std::string use_file(const std::string& path) {
    if (path.empty()) {
      if (file_ >= 0) ::dup3(standard_, file_, O_CLOEXEC);
      path_.clear();
      return {};
    }
    const int opened = ::open(path.c_str(), kFileFlags | O_CREAT, 0640);
    if (opened < 0) return because(errno, path);
    path_ = path;
    if (file_ < 0) {
      file_ = opened;
      sink_->write_to(file_);
      return {};
    }
    // The writing thread never sees that another file has taken the number.
    ::dup3(opened, file_, O_CLOEXEC);
    ::close(opened);
    return {};
  }
  bool has_file() const { return !path_.empty(); }
  std::string reopen() { return path_.empty() ? std::string() : use_file(std::string(path_)); }

  // Waits for the writing thread as long as kLogDrain; a reader who stalls longer does not keep the
  // process alive. The thread itself ends with the process: where that exits at once, others may
  // still be writing.
  void close() {
    if (closed_.exchange(true)) return;
    constexpr auto kStep = milliseconds(1);
    for (Duration waited{}; !drained() && waited < bounds::kLogDrain; waited += kStep) {
      std::this_thread::sleep_for(kStep);
    }
  }

 private:
  bool drained() const { return sink_->written() + pool_->overrun_counter() >= queued_; }

  const int standard_;
  int file_ = -1;     // -1: none was ever wanted; else whatever is written to, for good
  std::string path_;  // empty: the standard stream
  std::shared_ptr<DescriptorSink> sink_;
  std::shared_ptr<spdlog::details::thread_pool> pool_;
  std::shared_ptr<spdlog::async_logger> logger_;
  std::atomic<std::size_t> queued_{0};
  std::atomic<bool> closed_{false};
};

// Both are never destroyed: their destruction at exit would wait for a reader who stalls.
Channel& program_log() {
  static Channel& channel =
      *new Channel(bounds::kLogQueue, STDERR_FILENO, "%Y-%m-%dT%H:%M:%S.%eZ %l %v");
  return channel;
}

Channel& request_log() {
  static Channel& channel = *new Channel(bounds::kAccessLogQueue, STDOUT_FILENO, "%v");
  return channel;
}

spdlog::level::level_enum level_of(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return spdlog::level::debug;
    case LogLevel::info:
      return spdlog::level::info;
    case LogLevel::warn:
      return spdlog::level::warn;
    case LogLevel::error:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

}  // namespace

void set_log_level(LogLevel level) {
  program_log().set_level(level_of(level));
}

bool debug_log_wanted() {
  return program_log().writes(spdlog::level::debug);
}
void log_debug(std::string_view message) {
  program_log().write(spdlog::level::debug, message);
}
void log_info(std::string_view message) {
  program_log().write(spdlog::level::info, message);
}
void log_warn(std::string_view message) {
  program_log().write(spdlog::level::warn, message);
}
void log_error(std::string_view message) {
  program_log().write(spdlog::level::err, message);
}

std::string use_log_file(const std::string& path) {
  return program_log().use_file(path);
}
std::string use_access_log_file(const std::string& path) {
  return request_log().use_file(path);
}

std::string log_file_problem(const std::string& path) {
  if (path.empty()) return {};
  // Not opened: whoever reads from a pipe would take the closing for the end.
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) return because(EISDIR, path);
  if (::faccessat(AT_FDCWD, path.c_str(), W_OK, AT_EACCESS) == 0) return {};
  if (errno != ENOENT) return because(errno, path);
  // It would be made, if that is allowed where it is to be.
  const std::string folder = std::filesystem::path(path).parent_path();
  const char* const made_in = folder.empty() ? "." : folder.c_str();
  const bool can_be_made = ::faccessat(AT_FDCWD, made_in, W_OK | X_OK, AT_EACCESS) == 0;
  return can_be_made ? std::string() : because(errno, path);
}

void tell_operator(LogLevel level, std::string_view message) {
  const std::string_view kind = level == LogLevel::warn ? "warning: " : "";
  std::fputs(fmt::format("{}{}\n", kind, message).c_str(), stderr);
  if (program_log().has_file()) program_log().write(level_of(level), message);
}

std::vector<std::string> reopen_log_files() {
  std::vector<std::string> problems;
  for (Channel* channel : {&program_log(), &request_log()})
    if (std::string problem = channel->reopen(); !problem.empty())
      problems.push_back(std::move(problem));
  return problems;
}

void shut_down_logs() {
  request_log().close();
  program_log().close();
}

void queue_stdout_line(std::string_view line) {
  request_log().write(spdlog::level::info, line);
}
std::uint64_t dropped_stdout_lines() {
  return request_log().dropped();
}

}  // namespace spillway::server
