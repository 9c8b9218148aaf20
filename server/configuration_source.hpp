// Where the configuration comes from, and what besides its text makes it fit to serve: at start and
// again at every reload, by the same rules.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "config/load.hpp"
#include "core/config.hpp"

namespace spillway::server {

class ConfigurationSource {
 public:
  // Whether a deployment that cannot be used makes the whole configuration unfit.
  enum class LeftOut : std::uint8_t { tolerated, refused };

  // `generated_key` is a key that was made for this run and stands in the sources' environment;
  // empty: none.
  explicit ConfigurationSource(config::Sources sources, LeftOut left_out = LeftOut::tolerated,
                               std::string generated_key = "");

  // What is read stays the same for ever, and does so at once: the demonstration's text.
  void read_only(std::string text, std::string name);

  struct Reading {
    std::optional<Config> config;              // nullopt: the notices say why
    std::vector<config::Notice> notices;       // warnings, or else faults
    std::vector<std::string> shortcomings;     // why it is not fit to serve; empty: it is
    std::vector<std::filesystem::path> files;  // that the outcome depends on
    // The generated key counts; it does not where the user has one of their own.
    bool generated_key_counts = false;
    bool fit() const { return config && shortcomings.empty(); }
  };

  // The files to log to are looked at only before any of them is open.
  enum class Logs : std::uint8_t { looked_at, in_use };

  // Never throws for bad input. Any thread; reads files, so it may take a while.
  Reading read(Logs logs) const;

  // True if reading again could give anything else.
  bool can_change() const { return !text_; }
  const std::string& generated_key() const { return generated_key_; }

 private:
  std::vector<std::string> shortcomings(const Config& config, Logs logs) const;

  config::Sources sources_;
  LeftOut left_out_;
  std::string generated_key_;
  std::optional<std::string> text_;
  std::string name_;
};

// Prints it where the operator looks.
void tell_generated_key(const std::string& key);

// True if all of the deployments can be used.
bool all_usable(const Config& config);

}  // namespace spillway::server
