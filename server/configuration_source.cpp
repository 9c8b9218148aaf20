#include "server/configuration_source.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "server/log_files.hpp"
#include "server/tls_client.hpp"
#include "server/tls_listener.hpp"

namespace spillway::server {

ConfigurationSource::ConfigurationSource(config::Sources sources, LeftOut left_out,
                                         std::string generated_key)
    : sources_(std::move(sources)), left_out_(left_out), generated_key_(std::move(generated_key)) {}

void ConfigurationSource::read_only(std::string text, std::string name) {
  text_ = std::move(text);
  name_ = std::move(name);
}

ConfigurationSource::Reading ConfigurationSource::read(Logs logs) const {
  Reading reading;
  auto loaded =
      text_ ? config::load_text(*text_, name_, sources_) : config::load(sources_, &reading.files);
  if (!loaded) {
    reading.notices = std::move(loaded.error());
    return reading;
  }
  reading.notices = std::move(loaded->warnings);
  reading.config = std::move(loaded->config);
  auto& keys = reading.config->keys;
  reading.generated_key_counts = !generated_key_.empty() && keys.size() == 1;
  if (!generated_key_.empty() && !reading.generated_key_counts)
    std::erase_if(keys, [&](const auto& key) { return key.key.reveal() == generated_key_; });
  reading.shortcomings = shortcomings(*reading.config, logs);
  // A listener looks after the files that it uses; those that are of no use yet are looked after
  // here.
  if (reading.config->tls && !reading.fit()) {
    const TlsSettings& tls = *reading.config->tls;
    for (const NamedFile& file : {tls.certificate, tls.key, tls.client_ca})
      if (!file.empty()) reading.files.emplace_back(file.path);
  }
  return reading;
}

std::vector<std::string> ConfigurationSource::shortcomings(const Config& config, Logs logs) const {
  std::vector<std::string> found = unusable_ca_files(config);
  if (auto problem = tls_problem(config)) found.push_back(*std::move(problem));
  const NamedFile& log = config.access_log.file;
  const std::string problem = logs == Logs::looked_at ? log_file_problem(log.path) : "";
  if (!problem.empty()) found.push_back(fmt::format("{}: {}", log.setting, problem));
  if (!config::any_usable(config))
    found.emplace_back(
        "no deployment is usable: set a provider's key in the environment, give a --config, or try "
        "--demo");
  if (found.empty() && left_out_ == LeftOut::refused && !all_usable(config))
    found.emplace_back("--strict: a deployment is left out, see above");
  return found;
}

void tell_generated_key(const std::string& key) {
  const std::string line = fmt::format("no key is configured; made one for this run: {}\n", key);
  std::fputs(line.c_str(), stderr);
}

bool all_usable(const Config& config) {
  return std::ranges::all_of(config.deployments, &Deployment::usable);
}

}  // namespace spillway::server
