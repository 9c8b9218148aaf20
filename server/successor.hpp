// Starts the program anew beside the one that runs, with the sockets it listens on, and tells when
// the new one serves requests, or that it never will.
//
// The listening sockets are the same for both: no connection is refused, and none that waits in its
// queue is lost, whoever takes it. Until the new program says that it is ready nothing changes for
// the old one. It says so before it accepts anybody, over a socket whose closing settles which came
// first: one that was heard is never ended from here, and one that was not has served nobody.
#pragma once

#include <sys/types.h>

#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <expected>
#include <functional>
#include <string>
#include <vector>

#include "server/asio.hpp"
#include "server/supervisor.hpp"

namespace spillway::server {

// How this process was started: what starts it again.
struct ProgramCall {
  std::vector<std::string> arguments;    // with the program's name; a path as it was given
  std::vector<std::string> environment;  // "NAME=value", added to and replacing what there is
};

class Successor {
 public:
  // Called once for each start(), on the event loop's thread: the new process, or why there is
  // none.
  using Outcome = std::expected<pid_t, std::string>;

  Successor(asio::io_context& io, ProgramCall call, std::function<void(Outcome)> on_outcome);
  ~Successor();  // as give_up(), except that nobody is told

  // `listeners` are handed over, and stay open here. Nothing if one is being started already.
  void start(const std::vector<NamedSocket>& listeners);
  bool starting() const { return child_ > 0; }
  // Ends the one that is being started, unless it has said that it is ready: then the outcome is
  // told, as ever.
  void give_up();

 private:
  using Descriptor = asio::posix::basic_stream_descriptor<Executor>;

  pid_t spawn(const std::vector<NamedSocket>& listeners, int ready);
  void wait();
  void on_readable();
  void on_ready();
  void fail(std::string why);
  void stop_listening();
  bool ready_after_all();
  pid_t let_go_or_end();

  const ProgramCall call_;
  std::function<void(Outcome)> on_outcome_;
  Descriptor ready_;
  Timer patience_;
  pid_t child_ = 0;
};

}  // namespace spillway::server
