// Secrets that come in files: NAME_FILE names the file that holds NAME.
#include <sys/stat.h>

#include <catch2/catch_test_macros.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "config/bounds.hpp"
#include "config/environment.hpp"
#include "config/variables.hpp"

namespace {

namespace fs = std::filesystem;
using spillway::config::Environment;
using spillway::config::Report;
using spillway::config::to_string;
using spillway::config::Variables;

class Folder {
 public:
  Folder() : path_(made()) {}
  ~Folder() { fs::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  std::string file(const std::string& name, const std::string& text,
                   fs::perms permissions = fs::perms::owner_read) const {
    const fs::path path = path_ / name;
    std::ofstream(path, std::ios::binary) << text;
    fs::permissions(path, permissions);
    return path.string();
  }
  std::string fifo(const std::string& name) const {
    const fs::path path = path_ / name;
    REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
    return path.string();
  }
  std::string missing() const { return (path_ / "nothing-here").string(); }
  std::string path() const { return path_.string(); }

 private:
  static fs::path made() {
    std::string pattern = (fs::temp_directory_path() / "spillway-secrets-XXXXXX").string();
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    return pattern;
  }

  fs::path path_;
};

// What was reported, each as the operator reads it.
std::string told(Report& report) {
  std::string out;
  for (const auto& fault : report.take_faults()) out += to_string(fault) + "\n";
  for (const auto& warning : report.take_warnings()) out += to_string(warning) + "\n";
  return out;
}

}  // namespace

TEST_CASE("A variable that is not set is read from the file that its _FILE names") {
  const Folder folder;
  Report report;
  const Variables variables({{"KEY_FILE", folder.file("key", "sk-secret\r\n\n")},
                             {"EMPTY", ""},
                             {"EMPTY_FILE", folder.file("empty", "sk-other")}},
                            report);
  CHECK(variables.find("KEY") == "sk-secret");
  CHECK(variables.find("EMPTY") == "sk-other");
  CHECK(variables.find("NOTHING") == std::nullopt);
  CHECK(told(report).empty());
}

TEST_CASE("A secret may stand behind a link, as orchestrators lay them out") {
  const Folder folder;
  const fs::path link = fs::path(folder.path()) / "link";
  fs::create_symlink(folder.file("key", "sk-secret"), link);
  Report report;
  const Variables variables({{"KEY_FILE", link.string()}}, report);
  CHECK(variables.find("KEY") == "sk-secret");
  CHECK(told(report).empty());
}

TEST_CASE("Of a value that came from variables the messages name them, or their files") {
  const Folder folder;
  Report report;
  const Variables variables({{"A", "1"}, {"KEY_FILE", folder.file("key", "sk-secret")}}, report);
  const auto told = [&](std::string_view text) {
    return spillway::config::told_source(text, variables);
  };
  CHECK(told("os.environ/A") == "; the value comes from A");
  CHECK(told("os.environ/KEY") == "; the value comes from KEY_FILE");
  CHECK(told("x${KEY}-${A}") == "; the value comes from KEY_FILE and A");
  CHECK(told("$${A} sk-secret").empty());
}

TEST_CASE("A file is read only when its variable is wanted") {
  const Folder folder;
  Report report;
  const Variables variables({{"OTHER_FILE", folder.missing()}}, report);
  CHECK(variables.find("KEY") == std::nullopt);
  CHECK(told(report).empty());
}

TEST_CASE("A file that cannot be used is a fault that names it, once") {
  const Folder folder;
  const std::string large(spillway::config::kMaxSecretBytes + 1, 's');
  for (const std::string& file :
       {folder.missing(), folder.path(), folder.file("empty", "\n"), folder.file("large", large),
        folder.fifo("fifo"), std::string("/dev/zero")}) {
    Report report;
    const Variables variables({{"KEY_FILE", file}}, report);
    CHECK(variables.find("KEY") == std::nullopt);
    CHECK(variables.find("KEY") == std::nullopt);
    const std::string message = told(report);
    CHECK(message.starts_with("KEY_FILE: " + file + " "));
    CHECK(message.find('\n') == message.size() - 1);
    CHECK(message.find("sss") == std::string::npos);
  }
}

TEST_CASE("A variable and its file are one too many, and neither is shown") {
  const Folder folder;
  Report report;
  const Variables variables({{"KEY", "sk-one"}, {"KEY_FILE", folder.file("key", "sk-two")}},
                            report);
  CHECK(variables.find("KEY") == "sk-one");
  const std::string message = told(report);
  CHECK(message == "KEY_FILE: is set and so is KEY; which counts?\n");
}

TEST_CASE("A file that everybody may read is warned of") {
  const Folder folder;
  Report report;
  const fs::perms open = fs::perms::owner_read | fs::perms::others_read;
  const Variables variables({{"KEY_FILE", folder.file("key", "sk-secret", open)}}, report);
  CHECK(variables.find("KEY") == "sk-secret");
  CHECK(variables.find("KEY") == "sk-secret");
  CHECK(report.take_warnings().size() == 1);
}
