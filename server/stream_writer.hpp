// Writes a streamed answer to the client: head, chunks, end. While nobody has anything to send it
// puts in comment lines, so that load balancers do not cut a thinking model off; the first comment
// sends the head, and with it commits to status 200.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "server/client_connection.hpp"
#include "server/deadline.hpp"

namespace spillway::server {

class StreamWriter {
 public:
  enum class Framing { chunked, until_close };

  struct Options {
    Framing framing = Framing::chunked;
    Duration write_timeout{};  // how long a client may stop reading
    Duration keepalive{};      // gap after which a comment is sent; zero: never
  };
  StreamWriter(Worker& worker, ClientConnection& connection, Options options);
  ~StreamWriter();

  // Comments begin after options.keepalive. `make_head` is called if one is due before begin();
  // `may_comment` is asked each time (only event boundaries).
  void start_comments(std::function<std::string()> make_head, std::function<bool()> may_comment);
  void stop_comments();

  bool started() const { return started_; }
  // The head that goes out with the first write. Nothing, if comments have already sent one.
  void begin(std::string head);
  // One gather write of all pieces as one chunk; they may lie in the worker's read buffer. What the
  // client does not take at once is copied, and flush() has to end before the next write. False:
  // the client is gone.
  bool write(std::span<const std::string_view> pieces);
  bool must_flush() const { return comment_under_way() || !unsent_.empty(); }
  Awaitable<bool> flush();
  // Ends the answer properly.
  Awaitable<bool> finish();

 private:
  struct Comment {  // shared with who waits to write the rest of it
    bool writing = false;
    bool failed = false;
    std::string text;
    Buffers left;                    // of it
    StreamWriter* writer = nullptr;  // while it lives
    Timer* waiter = nullptr;
    void end(error_code ec);
  };
  void send_comment();
  static Awaitable<void> write_rest(std::shared_ptr<Comment> comment, TlsSocket::Wants wants);
  Awaitable<void> comment_written();
  void rearm();

  Worker& worker_;
  ClientConnection& connection_;
  Options options_;
  Deadline comment_due_;
  std::unique_ptr<Deadline> comment_stuck_;  // once there was a comment
  std::function<std::string()> make_head_;
  std::function<bool()> may_comment_;
  bool comment_under_way() const { return comment_ && comment_->writing; }
  std::shared_ptr<Comment> comment_;  // once there was one
  std::string head_;
  std::string unsent_;
  bool started_ = false;
};

}  // namespace spillway::server
