// Turns config.yaml, providers.json and the environment into one validated Config, reporting every
// fault at once.
#pragma once

#include <cstdint>
#include <expected>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/config.hpp"

namespace spillway::config {

using Environment = std::map<std::string, std::string, std::less<>>;

enum class Severity : std::uint8_t { fault, warning };

// Something about one place of one file. Rendered as `file:line:column: path: message`.
struct Notice {
  Severity severity = Severity::fault;
  std::string file;  // as the user named it; empty: the environment or the command line
  int line = 0;      // from 1; 0: the file as a whole
  int column = 0;
  std::string path;  // "model_list[0].litellm_params.model"
  std::string message;
  bool operator==(const Notice&) const = default;
};
std::string to_string(const Notice& notice);

struct Sources {
  std::optional<std::filesystem::path>
      config_file;  // none: every provider with a key in the environment
  std::optional<std::filesystem::path>
      providers_file;  // none: a providers.json beside the config file, if there
  Environment environment;
  std::optional<std::string> listen;  // --listen HOST:PORT, wins over the file
  std::optional<unsigned> threads;    // --threads
};

struct Loaded {
  Config config;
  std::vector<Notice> warnings;
};

// Never throws for bad input; a missing or unreadable file is a fault as well. `files`, if given,
// gets every file that the outcome depends on, also when loading fails: what was read, what could
// not be, and what would be read if it were there.
std::expected<Loaded, std::vector<Notice>> load(
    const Sources& sources, std::vector<std::filesystem::path>* files = nullptr);

// The same from text, for tests and for --demo; `file` is the name used in notices.
std::expected<Loaded, std::vector<Notice>> load_text(std::string_view yaml, std::string_view file,
                                                     const Sources& sources);

// The environment of this process.
Environment process_environment();

// The table of model groups and deployments shown at start and by `check`; no secrets. Lines end in
// LF.
std::string describe(const Config& config);

// False if there is nothing to forward to: `serve` then refuses to start.
bool any_usable(const Config& config);

}  // namespace spillway::config
