// Reads the configuration again, when it is told to or when its files change, and hands over what
// is fit to be used. Whatever is wrong leaves everything as it was, is logged with its place, and
// is counted.
//
// Reading happens on a thread of its own, so that nothing waits for a large configuration or a slow
// disk; everything else is the main thread's, unless it says otherwise.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "server/asio.hpp"
#include "server/configuration_source.hpp"
#include "server/file_watch.hpp"
#include "server/metrics.hpp"

namespace spillway::server {

class Reloader {
 public:
  // What a reload needs of the gateway.
  class Host {
   public:
    virtual ~Host() = default;
    virtual const Config& running() const = 0;
    virtual bool exposed() const = 0;  // to others than this machine
    // `next` is fit. Returns why it cannot be used after all, or an empty text.
    virtual std::string use(Config next) = 0;
    virtual void reload_begins() = 0;
    virtual void reload_ended() = 0;
  };

  // `host` outlives it.
  Reloader(asio::io_context& io, ConfigurationSource source, Host& host);
  ~Reloader();  // waits for a reading that is under way

  // Begins to watch the files of the configuration in use, where that is wanted.
  void start(const ConfigurationSource::Reading& in_use);
  // Reads again, and once more if something is being read already.
  void reload(std::string_view why);
  // Nothing is read any more.
  void stop();
  bool is_reading() const { return under_way_; }

  ReloadCounts counts() const;  // any thread

 private:
  using Reading = ConfigurationSource::Reading;

  void read();
  Reading read_or_fail() const;
  Reading failure(const std::string& why) const;
  void finish(Reading reading);
  std::string use(Reading& reading);
  void tell(const std::vector<config::Notice>& notices);
  void watch(const std::vector<std::filesystem::path>& files);

  asio::io_context& io_;
  const ConfigurationSource source_;
  Host& host_;
  FileWatch watch_;
  FileStates seen_;  // when the reading that is under way began
  std::vector<std::filesystem::path> files_;
  std::vector<config::Notice> told_;  // warnings about the configuration in use
  std::string watch_problem_;
  std::thread reading_;
  bool under_way_ = false;
  bool again_ = false;
  bool stopped_ = false;
  bool key_told_ = false;
  std::atomic<std::uint64_t> successes_{0}, failures_{0};
  std::atomic<bool> last_failed_{false};
  std::atomic<WallTime> loaded_at_;
};

// Puts back what cannot change while the process runs; the names of what would have changed.
std::vector<std::string> keep_fixed_settings(Config& next, const Config& running);

}  // namespace spillway::server
