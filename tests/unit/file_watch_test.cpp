#include "server/file_watch.hpp"

#include <catch2/catch_test_macros.hpp>

#include "config_support.hpp"

namespace spillway::server {
namespace {

namespace fs = std::filesystem;
using config::testing::Directory;
using Paths = std::set<fs::path>;

TEST_CASE("a plain file changes in its own directory") {
  const Directory directory;
  const fs::path file = directory.write("a/config.yaml", "x");
  CHECK(directories_towards(file) == Paths{file.parent_path()});
}

TEST_CASE("a file behind links changes where any of them is replaced") {
  const Directory directory;
  const fs::path file = directory.write("volume/..one/config.yaml", "x");
  const fs::path volume = file.parent_path().parent_path();
  fs::create_directory_symlink("..one", volume / "..data");
  fs::create_symlink("..data/config.yaml", volume / "config.yaml");
  CHECK(directories_towards(volume / "config.yaml") == Paths{volume, volume / "..one"});
}

TEST_CASE("a directory that is missing is waited for where it would be made") {
  const Directory directory;
  const fs::path here = directory.write("config.yaml", "x").parent_path();
  CHECK(directories_towards(here / "not" / "there" / "yet.yaml") == Paths{here});
}

TEST_CASE("links that lead to each other end somewhere") {
  const Directory directory;
  const fs::path here = directory.write("config.yaml", "x").parent_path();
  fs::create_symlink("b", here / "a");
  fs::create_symlink("a", here / "b");
  CHECK(directories_towards(here / "a") == Paths{here});
}

TEST_CASE("a file that was rewritten, replaced or removed is another one") {
  const Directory directory;
  const fs::path file = directory.write("config.yaml", "one");
  const FileStates before = states_of({file});
  CHECK(states_of({file}) == before);
  directory.write("config.yaml", "three");
  const FileStates rewritten = states_of({file});
  CHECK(rewritten != before);
  fs::rename(directory.write("other.yaml", "three"), file);
  CHECK(states_of({file}) != rewritten);
  fs::remove(file);
  CHECK(states_of({file}) == FileStates{{file, std::nullopt}});
}

}  // namespace
}  // namespace spillway::server
