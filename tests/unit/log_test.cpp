#include "server/log.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <cstdio>
#include <string>

#include "server/access_log.hpp"
#include "server/log_lines.hpp"

namespace spillway::server {
namespace {

constexpr unsigned kGiveUpSeconds = 30;  // after which a child that hangs is ended

struct Child {
  pid_t process;
  int output;  // what it writes to the replaced descriptor
};

// Runs `work` in a process of its own, whose `descriptor` is a pipe; its exit code is what `work`
// returns.
template <typename Work>
Child run(int descriptor, Work work) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  std::fflush(nullptr);  // else the child would write out what this process has buffered
  const pid_t process = fork();
  REQUIRE(process >= 0);
  if (process == 0) {
    alarm(kGiveUpSeconds);
    dup2(ends[1], descriptor);
    close(ends[0]);
    close(ends[1]);
    _exit(work());
  }
  close(ends[1]);
  return {process, ends[0]};
}

std::string read_all(int descriptor) {
  std::string text;
  char buffer[4096];
  for (ssize_t got; (got = read(descriptor, buffer, sizeof buffer)) > 0;) {
    text.append(buffer, static_cast<std::size_t>(got));
  }
  close(descriptor);
  return text;
}

int exit_code(pid_t process) {
  int status = 0;
  waitpid(process, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

TEST_CASE("a reader of stdout who stalls costs lines, not a worker's time") {
  const Child child = run(STDOUT_FILENO, [] {
    const std::string line(200, 'x');
    for (int i = 0; i < 50000; ++i) queue_stdout_line(line);
    return dropped_log_lines() > 0 ? 0 : 1;
  });
  // Nobody reads until the child has ended.
  CHECK(exit_code(child.process) == 0);
  close(child.output);
}

TEST_CASE("a reader who stalls does not keep the program from ending") {
  const Child child = run(STDOUT_FILENO, [] {
    const std::string line(200, 'x');
    for (int i = 0; i < 5000; ++i) queue_stdout_line(line);
    shut_down_logs();
    return 0;
  });
  CHECK(exit_code(child.process) == 0);
  close(child.output);
}

TEST_CASE("what is queued when the logs are shut down is still written, in order") {
  const Child child = run(STDOUT_FILENO, [] {
    for (int i = 0; i < 100; ++i) queue_stdout_line(std::to_string(i));
    shut_down_logs();
    queue_stdout_line("too late");
    return 0;
  });
  std::string expected;
  for (int i = 0; i < 100; ++i) expected += std::to_string(i) + "\n";
  CHECK(read_all(child.output) == expected);
  CHECK(exit_code(child.process) == 0);
}

TEST_CASE("a sampled-out request leaves no line") {
  const Child child = run(STDOUT_FILENO, [] {
    Random random(1);
    AccessRecord record;
    record.status = 200;
    write_access_log(record, {AccessLogFormat::logfmt, 0.0}, random);
    record.status = 500;
    write_access_log(record, {AccessLogFormat::logfmt, 0.0}, random);
    shut_down_logs();
    return 0;
  });
  const std::string text = read_all(child.output);
  CHECK(text.find("status=200") == std::string::npos);
  CHECK(text.find("status=500") != std::string::npos);
  CHECK(exit_code(child.process) == 0);
}

TEST_CASE("the program's log goes to stderr and leaves out what is below its level") {
  const Child child = run(STDERR_FILENO, [] {
    log_debug("unseen");
    set_log_level(LogLevel::warn);
    log_info("unseen");
    log_warn("look {} here");
    log_error("lost");
    shut_down_logs();
    return 0;
  });
  const std::string text = read_all(child.output);
  CHECK(text.find("unseen") == std::string::npos);
  CHECK(text.find("Z warning look {} here\n") != std::string::npos);
  CHECK(text.find("Z error lost\n") != std::string::npos);
  CHECK(exit_code(child.process) == 0);
}

}  // namespace spillway::server
