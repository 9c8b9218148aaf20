#include "server/stream_writer.hpp"

#include <fmt/format.h>

#include <boost/asio/write.hpp>

#include "server/worker.hpp"

namespace spillway::server {

namespace {

constexpr std::string_view kComment = ": keep-alive\n\n";
constexpr std::string_view kChunkEnd = "\r\n";
constexpr std::string_view kLastChunk = "0\r\n\r\n";

}  // namespace

StreamWriter::StreamWriter(Worker& worker, ClientConnection& connection, Options options)
    : worker_(worker),
      connection_(connection),
      options_(options),
      comment_due_(worker.deadlines(), [this] { send_comment(); }),
      comment_stuck_(worker.deadlines(),
                     [this] { connection_.end(ClientConnection::Ending::client_left); }) {}

StreamWriter::~StreamWriter() = default;

void StreamWriter::start_comments(std::function<std::string()> make_head,
                                  std::function<bool()> may_comment) {
  if (options_.keepalive <= Duration::zero()) return;
  make_head_ = std::move(make_head);
  may_comment_ = std::move(may_comment);
  rearm();
}

void StreamWriter::stop_comments() {
  comment_due_.disarm();
  may_comment_ = nullptr;
}

void StreamWriter::rearm() {
  if (may_comment_) comment_due_.arm(worker_.now() + options_.keepalive);
}

void StreamWriter::send_comment() {
  if (!may_comment_ || !connection_.is_open()) return;
  if (comment_->writing || !may_comment_()) return rearm();
  comment_->text.clear();
  if (!started_) comment_->text = make_head_();
  started_ = true;
  if (options_.framing == Framing::chunked)
    fmt::format_to(std::back_inserter(comment_->text), "{:x}\r\n{}{}", kComment.size(), kComment,
                   kChunkEnd);
  else
    comment_->text.append(kComment);
  comment_->writing = true;
  comment_stuck_.arm(worker_.now() + options_.write_timeout);
  asio::async_write(connection_.socket(), asio::buffer(comment_->text),
                    [comment = comment_](error_code ec, std::size_t) {
                      comment->writing = false;
                      comment->failed = static_cast<bool>(ec);
                      if (comment->waiter) comment->waiter->cancel();
                    });
  rearm();
}

Awaitable<void> StreamWriter::comment_written() {
  if (comment_->writing) {
    Timer timer(worker_.io(), TimePoint::max());
    comment_->waiter = &timer;
    error_code ec;
    co_await timer.async_wait(to(ec));
    comment_->waiter = nullptr;
  }
  comment_stuck_.disarm();
}

void StreamWriter::begin(std::string head) {
  if (started_) return;
  started_ = true;
  head_ = std::move(head);
}

Awaitable<bool> StreamWriter::write(std::span<const std::string_view> pieces) {
  std::size_t size = 0;
  for (const std::string_view piece : pieces) size += piece.size();
  if (size == 0) co_return connection_.is_open();
  std::string copied;
  std::string_view copy;
  if (comment_->writing) {
    for (const std::string_view piece : pieces) copied.append(piece);
    copy = copied;
    pieces = std::span(&copy, 1);
  }
  co_await comment_written();
  if (comment_->failed) co_return false;
  comment_due_.disarm();
  std::string front = std::move(head_);
  head_.clear();
  std::vector<std::string_view> all;
  all.reserve(pieces.size() + 2);
  const bool chunked = options_.framing == Framing::chunked;
  if (chunked) fmt::format_to(std::back_inserter(front), "{:x}\r\n", size);
  all.push_back(front);
  all.insert(all.end(), pieces.begin(), pieces.end());
  if (chunked) all.push_back(kChunkEnd);
  const bool written = co_await connection_.write(all, worker_.now() + options_.write_timeout,
                                                  ClientConnection::Pieces::passing);
  rearm();
  co_return written;
}

Awaitable<bool> StreamWriter::finish() {
  stop_comments();
  co_await comment_written();
  std::string text = std::move(head_);
  head_.clear();
  if (options_.framing == Framing::chunked) text.append(kLastChunk);
  if (text.empty()) co_return true;
  const std::string_view pieces[] = {text};
  co_return co_await connection_.write(pieces, worker_.now() + options_.write_timeout);
}

}  // namespace spillway::server
