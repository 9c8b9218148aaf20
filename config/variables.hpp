// The variables that a configuration may read: those of the environment and, for a NAME that is not
// among them, what is in the file that NAME_FILE names, as container platforms hand out secrets.
//
// A file is read when its variable is first asked for, and never named unless it is wanted. What
// was in it is in no message.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "config/load.hpp"
#include "config/report.hpp"

namespace spillway::config {

class Variables {
 public:
  // `report` outlives this, and is told of files that cannot be used.
  Variables(Environment values, Report& report);

  // The variable's value if it is set and not empty: an empty key is no key. From a file without
  // the line ends behind it.
  std::optional<std::string> find(std::string_view name) const;

  // The variable that the value is in: `name`, or the one that names its file.
  std::string source(std::string_view name) const;

  // Takes the place of what the environment says.
  void set(const std::string& name, std::string value);

 private:
  bool is_set(std::string_view name) const;
  std::optional<std::string> from_file(const std::string& name, bool also_set) const;
  std::optional<std::string> read(const std::string& name, const std::string& file) const;

  Environment values_;
  Report* report_;
  // By name; so that each file is read, and complained of, once.
  mutable std::map<std::string, std::optional<std::string>, std::less<>> files_;
};

}  // namespace spillway::config
