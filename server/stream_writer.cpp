#include "server/stream_writer.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "server/worker.hpp"

namespace spillway::server {

namespace {

constexpr std::string_view kComment = ": keep-alive\n\n";
constexpr std::string_view kChunkEnd = "\r\n";
constexpr std::string_view kLastChunk = "0\r\n\r\n";

// The line in front of a chunk's data.
class ChunkSize {
 public:
  explicit ChunkSize(std::size_t size) {
    char* const digits_end = line_.data() + line_.size() - kChunkEnd.size();
    char* const end = std::to_chars(line_.data(), digits_end, size, 16).ptr;
    length_ = static_cast<std::size_t>(std::ranges::copy(kChunkEnd, end).out - line_.data());
  }
  std::string_view text() const { return {line_.data(), length_}; }

 private:
  std::array<char, 18> line_;
  std::size_t length_;
};

void append(Buffers& buffers, std::string_view text) {
  if (!text.empty()) buffers.emplace_back(text.data(), text.size());
}

}  // namespace

StreamWriter::StreamWriter(Worker& worker, ClientConnection& connection, Author& author,
                           Options options)
    : worker_(worker),
      connection_(connection),
      author_(author),
      options_(options),
      comment_due_(worker.deadlines(), [this] { send_comment(); }) {}

StreamWriter::~StreamWriter() {
  if (comment_) comment_->writer = nullptr;
}

void StreamWriter::start_comments() {
  commenting_ = options_.keepalive > Duration::zero();
  rearm();
}

void StreamWriter::stop_comments() {
  comment_due_.disarm();
  commenting_ = false;
}

void StreamWriter::rearm() {
  if (commenting_) comment_due_.arm(worker_.now() + options_.keepalive);
}

void StreamWriter::send_comment() {
  if (!commenting_ || !connection_.is_open()) return;
  if (comment_under_way() || !author_.may_comment()) return rearm();
  if (!comment_) comment_ = std::make_shared<Comment>();
  if (!comment_stuck_)
    comment_stuck_ = std::make_unique<Deadline>(worker_.deadlines(), [this] {
      if (comment_under_way()) connection_.end(ClientConnection::Ending::client_stalled);
    });
  comment_->text.clear();
  if (!started_) comment_->text = author_.head_before_content();
  start();
  const bool chunked = options_.framing == Framing::chunked;
  if (chunked) comment_->text.append(ChunkSize(kComment.size()).text());
  comment_->text.append(kComment);
  if (chunked) comment_->text.append(kChunkEnd);
  comment_->left.assign(1, asio::buffer(comment_->text));
  comment_->writing = true;
  comment_->writer = this;
  error_code ec;
  const auto wants = connection_.write_at_once(comment_->left, ec);
  if (ec || wants == TlsSocket::Wants::nothing) {
    comment_->end(ec);
  } else {
    comment_stuck_->arm(worker_.now() + options_.write_timeout);
    try {
      spawn(write_rest(comment_, wants));
    } catch (...) {  // nobody goes on with it
      comment_->end(asio::error::no_memory);
      throw;
    }
  }
  rearm();
}

// What the socket did not take at once. The writer may be gone by the time that it does.
Awaitable<void> StreamWriter::write_rest(std::shared_ptr<Comment> comment, TlsSocket::Wants wants) {
  error_code ec;
  while (!ec && wants != TlsSocket::Wants::nothing) {
    co_await comment->writer->connection_.wait_for(wants, ec);
    if (!comment->writer) break;
    if (!ec) wants = comment->writer->connection_.write_at_once(comment->left, ec);
  }
  comment->end(ec);
}

void StreamWriter::Comment::end(error_code ec) {
  writing = false;
  failed = static_cast<bool>(ec);
  if (waiter) waiter->wake();
}

Awaitable<void> StreamWriter::comment_written() {
  Alarm written(worker_.loop());
  comment_->waiter = &written;
  co_await written.until(TimePoint::max());
  comment_->waiter = nullptr;
}

void StreamWriter::begin(std::string head, Framing framing) {
  if (started_) return;
  options_.framing = framing;
  start();
  head_ = std::move(head);
}

void StreamWriter::start() {
  // Not all clients count what they were promised.
  if (!std::exchange(started_, true) && options_.framing != Framing::chunked)
    connection_.end_loudly(true);
}

void StreamWriter::end() {
  if (options_.framing != Framing::chunked) connection_.end_loudly(false);
}

bool StreamWriter::write(std::span<const std::string_view> pieces) {
  std::size_t size = 0;
  for (const std::string_view piece : pieces) size += piece.size();
  if (size == 0) return connection_.is_open();
  comment_due_.disarm();
  const std::string head = std::exchange(head_, {});
  const ChunkSize chunk_size(size);
  const bool chunked = options_.framing == Framing::chunked;
  Buffers buffers;
  append(buffers, head);
  if (chunked) append(buffers, chunk_size.text());
  for (const std::string_view piece : pieces) append(buffers, piece);
  if (chunked) append(buffers, kChunkEnd);
  error_code ec;
  if (!comment_under_way()) {
    if (comment_stuck_) comment_stuck_->disarm();
    if (comment_ && comment_->failed) return false;
    connection_.write_at_once(buffers, ec);
  }
  if (ec) connection_.close();
  if (!ec && !buffers.empty()) unsent_ = copy_of(buffers);
  rearm();
  return !ec;
}

Awaitable<bool> StreamWriter::flush() {
  comment_due_.disarm();
  if (comment_under_way()) co_await comment_written();
  if (comment_stuck_) comment_stuck_->disarm();
  if (comment_ && comment_->failed) co_return false;
  const std::string text = std::exchange(unsent_, {});
  const std::string_view pieces[] = {text};
  const bool written = co_await connection_.write(pieces, worker_.now() + options_.write_timeout);
  rearm();
  co_return written;
}

Awaitable<bool> StreamWriter::finish() {
  stop_comments();
  std::string text = std::exchange(head_, {});
  if (options_.framing == Framing::chunked) text.append(kLastChunk);
  unsent_.append(text);
  const bool written = !must_flush() || co_await flush();
  if (written) end();
  co_return written;
}

}  // namespace spillway::server
