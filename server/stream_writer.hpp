// Writes a streamed answer to the client: head, chunks, end. While nobody has anything to send it
// puts in comment lines, so that load balancers do not cut a thinking model off; the first comment
// sends the head, and with it commits to status 200.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "server/alarm.hpp"
#include "server/client_connection.hpp"
#include "server/deadline.hpp"

namespace spillway::server {

class StreamWriter {
 public:
  // How its end is known; sized: by the head's Content-Length.
  enum class Framing { chunked, until_close, sized };

  struct Options {
    Framing framing = Framing::chunked;
    Duration write_timeout{};  // how long a client may stop reading
    Duration keepalive{};      // gap after which a comment is sent; zero: never
  };
  // Whose answer it is; asked when a comment is due.
  class Author {
   public:
    virtual std::string head_before_content() = 0;  // the comment comes before begin()
    virtual bool may_comment() const = 0;           // what was written ends at an event boundary

   protected:
    ~Author() = default;
  };
  // What is borrowed outlives the writer.
  StreamWriter(Worker& worker, ClientConnection& connection, Author& author, Options options);
  ~StreamWriter();

  // Comments begin after options.keepalive.
  void start_comments();
  void stop_comments();

  bool started() const { return started_; }
  // The head that goes out with the first write. Nothing, if comments have already sent one.
  void begin(std::string head, Framing framing);
  Framing framing() const { return options_.framing; }
  // One gather write of all pieces, as one chunk where it is chunked; they may lie in the worker's
  // read buffer. What the client does not take at once is copied, and flush() has to end before the
  // next write. False: the client is gone.
  bool write(std::span<const std::string_view> pieces);
  // The answer is whole, or says itself that it is not: nothing else need tell so. Part of
  // finish().
  void end();
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
    Alarm* waiter = nullptr;
    void end(error_code ec);
  };
  void start();
  void send_comment();
  static Awaitable<void> write_rest(std::shared_ptr<Comment> comment, TlsSocket::Wants wants);
  Awaitable<void> comment_written();
  void rearm();

  Worker& worker_;
  ClientConnection& connection_;
  Author& author_;
  Options options_;
  Deadline comment_due_;
  std::unique_ptr<Deadline> comment_stuck_;  // once there was a comment
  bool comment_under_way() const { return comment_ && comment_->writing; }
  std::shared_ptr<Comment> comment_;  // once there was one
  std::string head_;
  std::string unsent_;
  bool started_ = false;
  bool commenting_ = false;
};

}  // namespace spillway::server
