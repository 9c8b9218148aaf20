// What the configuration tests share: loading a text with an environment, and files in a directory
// of their own.
#pragma once

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "config/load.hpp"

namespace spillway::config::testing {

inline Sources with(Environment environment) {
  Sources sources;
  sources.environment = std::move(environment);
  return sources;
}

// Loads what must be right.
inline Loaded loaded(std::string_view yaml, Environment environment = {}) {
  auto result = load_text(yaml, "config.yaml", with(std::move(environment)));
  if (!result) {
    for (const Notice& notice : result.error()) UNSCOPED_INFO(to_string(notice));
  }
  REQUIRE(result.has_value());
  return std::move(*result);
}

// The faults of what must be wrong, as they are printed.
inline std::vector<std::string> faults(std::string_view yaml, Environment environment = {}) {
  const auto result = load_text(yaml, "config.yaml", with(std::move(environment)));
  REQUIRE_FALSE(result.has_value());
  std::vector<std::string> out;
  for (const Notice& notice : result.error()) out.push_back(to_string(notice));
  return out;
}

inline std::string only_fault(std::string_view yaml, Environment environment = {}) {
  const auto all = faults(yaml, std::move(environment));
  for (const std::string& fault : all) UNSCOPED_INFO(fault);
  REQUIRE(all.size() == 1);
  return all.front();
}

inline bool has_warning(const Loaded& result, std::string_view part) {
  for (const Notice& notice : result.warnings) UNSCOPED_INFO(to_string(notice));
  return std::any_of(result.warnings.begin(), result.warnings.end(), [&](const Notice& notice) {
    return to_string(notice).find(part) != std::string::npos;
  });
}

inline const Deployment& only_deployment(const Loaded& result) {
  REQUIRE(result.config.deployments.size() == 1);
  return result.config.deployments.front();
}

// One model_list entry named "m" with these litellm_params lines.
inline std::string entry(std::initializer_list<std::string_view> params) {
  std::string yaml = "model_list:\n  - model_name: m\n    litellm_params:\n";
  for (const std::string_view line : params) yaml += "      " + std::string(line) + "\n";
  return yaml;
}

inline std::string header(const Deployment& deployment, std::string_view name) {
  for (const UpstreamHeader& header : deployment.headers) {
    if (header.name == name) return header.value.reveal();
  }
  return "(none)";
}

inline std::string target(const Deployment& deployment, Endpoint endpoint) {
  return deployment.targets[static_cast<std::size_t>(endpoint)];
}

inline const ModelGroup& group(const Config& config, std::string_view name) {
  const auto found =
      std::find_if(config.groups.begin(), config.groups.end(),
                   [&](const ModelGroup& candidate) { return candidate.name == name; });
  REQUIRE(found != config.groups.end());
  return *found;
}

// What is taken for a certificate as far as configurations look.
inline constexpr std::string_view kCertificate = "-----BEGIN CERTIFICATE-----\n";

// A directory that is gone at the end of the test.
class Directory {
 public:
  Directory() {
    std::random_device random;
    path_ = std::filesystem::temp_directory_path() / ("spillway-test-" + std::to_string(random()));
    std::filesystem::create_directories(path_);
  }
  ~Directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;

  std::filesystem::path write(const std::string& name, std::string_view text) const {
    std::filesystem::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name, std::ios::binary) << text;
    return path_ / name;
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace spillway::config::testing
