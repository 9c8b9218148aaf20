// Programs that are to take over: here a shell that says over descriptor 4 that it serves, and then
// tells over a pipe of the file system that it has.
#include "server/successor.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <optional>
#include <string>

namespace spillway::server {
namespace {

class Folder {
 public:
  Folder() : path_(::mkdtemp(name_.data())) { ::mkfifo(fifo().c_str(), 0600); }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string fifo() const { return path_ + "/fifo"; }
  // Until somebody opens the other end, and closes it.
  void wait_for_writer() const {
    const int descriptor = ::open(fifo().c_str(), O_RDONLY);
    char taken = 0;
    while (::read(descriptor, &taken, 1) > 0) {
    }
    ::close(descriptor);
  }

 private:
  std::string name_ = (std::filesystem::temp_directory_path() / "successor-XXXXXX").string();
  std::string path_;
};

struct Scene {
  explicit Scene(const std::string& script)
      : successor(io, ProgramCall{{"sh", "-c", script}, {}},
                  [this](const Successor::Outcome& told) { outcome = told; }) {
    const NamedSocket listener{STDIN_FILENO, "http"};
    successor.start({listener});
  }

  asio::io_context io;
  std::optional<Successor::Outcome> outcome;
  Successor successor;
};

const std::string kServes = "printf 1 >&4; ";

// A program that does as it is told, and then waits to be ended.
struct Waiting {
  explicit Waiting(const std::string& does)
      : scene(does + ": > " + folder.fifo() + "; kill -STOP $$") {
    folder.wait_for_writer();
  }
  ~Waiting() {
    if (!serves()) return;
    ::kill(**scene.outcome, SIGKILL);
    ::waitpid(**scene.outcome, nullptr, 0);
  }
  bool serves() const { return scene.outcome && scene.outcome->has_value(); }

  const Folder folder;
  Scene scene;
};

TEST_CASE("a successor that has said that it serves is not ended, though nobody has heard it yet") {
  Waiting successor(kServes);
  successor.scene.successor.give_up();
  REQUIRE(successor.serves());
  CHECK(::waitpid(**successor.scene.outcome, nullptr, WNOHANG) == 0);
  CHECK_FALSE(successor.scene.successor.starting());
}

TEST_CASE("a successor that has not said that it serves is ended, and nobody is told") {
  Waiting successor("");
  successor.scene.successor.give_up();
  CHECK_FALSE(successor.scene.outcome);
  CHECK_FALSE(successor.scene.successor.starting());
  CHECK(::waitpid(-1, nullptr, WNOHANG) == -1);  // no child is left
}

TEST_CASE("a successor that serves is told of once, when it is heard") {
  Waiting successor(kServes);
  successor.scene.io.run();
  CHECK(successor.serves());
}

TEST_CASE("a successor that ends without a word is told of by how it ended") {
  Scene scene("exit 3");
  scene.io.run();
  REQUIRE(scene.outcome);
  REQUIRE_FALSE(scene.outcome->has_value());
  CHECK(scene.outcome->error() == "it ended with exit code 3");
}

}  // namespace
}  // namespace spillway::server
