#include "server/reloader.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <system_error>
#include <utility>

#include "server/log.hpp"
#include "server/worker.hpp"

namespace spillway::server {

namespace {

std::string counted(std::size_t count, std::string_view what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

}  // namespace

std::vector<std::string> keep_fixed_settings(Config& next, const Config& running) {
  std::vector<std::string> kept;
  const auto keep = [&](auto member, const char* name) {
    if (next.*member == running.*member) return;
    next.*member = running.*member;
    if (kept.empty() || kept.back() != name) kept.emplace_back(name);
  };
  keep(&Config::listen_host, "spillway.listen");
  keep(&Config::listen_port, "spillway.listen");
  keep(&Config::admin, "spillway.admin.listen");
  keep(&Config::threads, "spillway.threads");
  keep(&Config::redis, "router_settings.redis");
  // Its files and what is asked of clients may change, but not whether clients are encrypted.
  if (next.tls.has_value() != running.tls.has_value()) keep(&Config::tls, "spillway.tls");
  return kept;
}

Reloader::Reloader(asio::io_context& io, ConfigurationSource source, Host& host)
    : io_(io),
      source_(std::move(source)),
      host_(host),
      watch_(io, &Worker::now, [this] { reload("a file has changed"); }),
      loaded_at_(Worker::wall_now()) {}

Reloader::~Reloader() {
  if (reading_.joinable()) reading_.join();
}

void Reloader::start(const Reading& in_use) {
  key_told_ = in_use.generated_key_counts;
  told_ = in_use.notices;
  watch(in_use.files);
}

void Reloader::stop() {
  stopped_ = true;
  watch_.stop();
}

void Reloader::reload(std::string_view why) {
  if (stopped_) return;
  if (!source_.can_change()) {
    log_info(fmt::format("{}: there is no configuration file to read again", why));
    return;
  }
  if (under_way_) {
    again_ = true;
    return;
  }
  log_info(fmt::format("{}: reading the configuration again", why));
  host_.reload_begins();
  read();
}

void Reloader::read() {
  under_way_ = true;
  seen_ = states_of(files_);
  if (reading_.joinable()) reading_.join();
  try {
    reading_ = std::thread([this] {
      auto reading = std::make_shared<Reading>(read_or_fail());
      asio::post(io_, [this, reading] { finish(std::move(*reading)); });
    });
  } catch (const std::system_error& error) {  // no more threads to be had
    finish(failure(error.what()));
  }
}

Reloader::Reading Reloader::read_or_fail() const {
  try {
    return source_.read(ConfigurationSource::Logs::in_use);
  } catch (const std::exception& error) {
    return failure(error.what());
  }
}

// What could not even be looked at.
Reloader::Reading Reloader::failure(const std::string& why) const {
  Reading reading;
  config::Notice notice;
  notice.message = why;
  reading.notices.push_back(std::move(notice));
  reading.files = files_;
  return reading;
}

void Reloader::finish(Reading reading) {
  under_way_ = false;
  if (stopped_) return;
  const std::vector<std::filesystem::path> files = reading.files;
  const std::string problem = use(reading);
  last_failed_.store(!problem.empty(), std::memory_order_relaxed);
  if (problem.empty()) {
    successes_.fetch_add(1, std::memory_order_relaxed);
    loaded_at_.store(Worker::wall_now(), std::memory_order_relaxed);
  } else {
    failures_.fetch_add(1, std::memory_order_relaxed);
    log_warn(fmt::format("the configuration stays as it was: {}", problem));
  }
  watch(files);
  if (std::exchange(again_, false)) return read();
  host_.reload_ended();
}

// Why the reading cannot be used, or an empty text.
std::string Reloader::use(Reading& reading) {
  tell(reading.notices);
  if (!reading.config) return counted(reading.notices.size(), "fault");
  for (const std::string& shortcoming : reading.shortcomings) log_warn(shortcoming);
  if (!reading.fit()) return "it is not fit to serve";
  const Config& running = host_.running();
  if (reading.config->keys.empty() && host_.exposed())
    return "listening beyond this machine without a key would let anyone spend yours";
  const auto kept = keep_fixed_settings(*reading.config, running);
  const std::size_t deployments = reading.config->deployments.size();
  const std::size_t groups = reading.config->groups.size();
  std::string problem = host_.use(std::move(*reading.config));
  if (!problem.empty()) return problem;
  for (const std::string& name : kept)
    log_warn(fmt::format("{} has changed and takes effect with the next start only", name));
  if (reading.generated_key_counts && !std::exchange(key_told_, true))
    tell_generated_key(source_.generated_key());
  told_ = std::move(reading.notices);
  log_info(fmt::format("the configuration was loaded: {} in {}", counted(deployments, "deployment"),
                       counted(groups, "model group")));
  return {};
}

// What was said of the configuration in use is not said again.
void Reloader::tell(const std::vector<config::Notice>& notices) {
  for (const config::Notice& notice : notices)
    if (std::ranges::find(told_, notice) == told_.end()) log_warn(config::to_string(notice));
}

void Reloader::watch(const std::vector<std::filesystem::path>& files) {
  files_ = files;
  const bool wanted = host_.running().reload_on_change;
  const std::string problem = watch_.watch(wanted ? files : decltype(files_)(), std::move(seen_));
  seen_.clear();
  if (!problem.empty() && problem != watch_problem_)
    log_warn(fmt::format("changes of files will not be noticed, send SIGHUP instead: {}", problem));
  watch_problem_ = problem;
}

ReloadCounts Reloader::counts() const {
  return {.successes = successes_.load(std::memory_order_relaxed),
          .failures = failures_.load(std::memory_order_relaxed),
          .last_failed = last_failed_.load(std::memory_order_relaxed),
          .loaded_at = loaded_at_.load(std::memory_order_relaxed)};
}

}  // namespace spillway::server
