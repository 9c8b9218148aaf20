#include "server/log.hpp"

#include <spdlog/async_logger.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <atomic>
#include <memory>

#include "core/bounds.hpp"
#include "server/log_lines.hpp"

namespace spillway::server {
namespace {

// A bounded queue with its own writing thread, so that a reader of one stream who stalls does not
// hold up the other.
class Channel {
 public:
  Channel(std::size_t queue, spdlog::sink_ptr sink, const char* pattern)
      : pool_(std::make_shared<spdlog::details::thread_pool>(queue, 1)),
        logger_(std::make_shared<spdlog::async_logger>(
            "", std::move(sink), pool_, spdlog::async_overflow_policy::overrun_oldest)) {
    logger_->set_pattern(pattern, spdlog::pattern_time_type::utc);
  }

  void write(spdlog::level::level_enum level, std::string_view line) {
    if (!closed_.load(std::memory_order_relaxed)) {
      logger_->log(level, spdlog::string_view_t(line.data(), line.size()));
    }
  }
  void set_level(spdlog::level::level_enum level) { logger_->set_level(level); }
  std::uint64_t dropped() const { return closed_ ? 0 : pool_->overrun_counter(); }

  // The pool's end writes out what is queued.
  void close() {
    if (!closed_.exchange(true)) pool_.reset();
  }

 private:
  std::atomic<bool> closed_{false};
  std::shared_ptr<spdlog::details::thread_pool> pool_;
  std::shared_ptr<spdlog::async_logger> logger_;
};

Channel& program_log() {
  static Channel channel(bounds::kLogQueue, std::make_shared<spdlog::sinks::stderr_sink_mt>(),
                         "%Y-%m-%dT%H:%M:%S.%eZ %l %v");
  return channel;
}

Channel& request_log() {
  static Channel channel(bounds::kAccessLogQueue, std::make_shared<spdlog::sinks::stdout_sink_mt>(),
                         "%v");
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
