// Collects what is wrong with a configuration, so that all of it is told at once.
//
// Every notice stands at a place: a file (by number, since names repeat), a line and a column.
// Values of secrets never enter a message; whoever quotes a value asks section.hpp's `shown` first.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/load.hpp"

namespace spillway::config {

// A position in a source. File 0 is "no file": the environment or the command line. Lines and
// columns count from 1; 0 means the file as a whole.
struct Place {
  std::uint32_t file = 0;
  int line = 0;
  int column = 0;
  bool operator==(const Place&) const = default;
};

class Report {
 public:
  // Returns the number that places in this file carry.
  std::uint32_t add_file(std::string name);
  const std::string& file_name(std::uint32_t file) const { return names_[file]; }

  // A file that the outcome depends on, whether it is there or not.
  void depends_on(std::filesystem::path file) { files_.push_back(std::move(file)); }
  std::vector<std::filesystem::path> take_files() { return std::exchange(files_, {}); }

  // A place as notices have it: "config.yaml:7:12: spillway.tls.key".
  std::string describe(const Place& place, std::string_view path) const;

  void fault(const Place& place, std::string_view path, std::string message);
  void warn(const Place& place, std::string_view path, std::string message);

  bool has_faults() const { return !faults_.empty(); }
  // In the order of files, lines and columns.
  std::vector<Notice> take_faults();
  std::vector<Notice> take_warnings();

 private:
  void add(std::vector<Notice>& list, Severity severity, const Place& place, std::string_view path,
           std::string message);

  std::vector<std::string> names_{""};
  std::vector<std::filesystem::path> files_;
  std::vector<Notice> faults_;
  std::vector<Notice> warnings_;
};

}  // namespace spillway::config
