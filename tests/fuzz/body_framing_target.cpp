// A message's body: comes out the same however it arrives, and is what a second reader of its
// framing, written straight from RFC 9112 section 7.1, makes of it.
#include <charconv>

#include "core/head_check.hpp"
#include "core/http_syntax.hpp"
#include "fuzz.hpp"
#include "server/body_reader.hpp"

namespace spillway {
namespace {

using fuzz::expect;

struct Body {
  enum class End { whole, unfinished, refused } end = End::unfinished;
  std::string text;       // unless refused
  std::size_t bytes = 0;  // of the message, if whole
  bool operator==(const Body&) const = default;
};

// Drives the reader as the connections do: what it does not take is offered again.
Body read(server::BodyReader reader, const std::vector<std::string_view>& pieces) {
  Body body;
  std::string pending;
  std::vector<std::string_view> views;
  for (const std::string_view piece : pieces) {
    if (reader.done()) break;
    pending.append(piece);
    server::error_code ec;
    views.clear();
    const std::size_t taken = reader.read(pending, views, ec);
    if (ec) return {Body::End::refused, {}, 0};
    for (const std::string_view view : views) body.text.append(view);
    pending.erase(0, taken);
    body.bytes += taken;
  }
  body.end = reader.done() ? Body::End::whole : Body::End::unfinished;
  if (body.end == Body::End::unfinished) body.bytes = 0;
  return body;
}

// chunked-body of RFC 9112, without any of the lenience that it allows.
class ChunkReader {
 public:
  explicit ChunkReader(std::string_view bytes) : rest_(bytes), size_(bytes.size()) {}

  std::optional<Body> read() {
    Body body;
    for (;;) {
      const auto size = chunk_size();
      if (!size) return std::nullopt;
      if (*size == 0) break;
      if (*size > rest_.size()) return std::nullopt;
      body.text.append(rest_.substr(0, *size));
      rest_.remove_prefix(*size);
      if (!take("\r\n")) return std::nullopt;
    }
    for (;;) {  // trailers, which are dropped whatever they hold: only their end counts
      const std::size_t end = rest_.find("\r\n");
      if (end == std::string_view::npos) return std::nullopt;
      rest_.remove_prefix(end + 2);
      if (end == 0) break;
    }
    body.end = Body::End::whole;
    body.bytes = size_ - rest_.size();
    return body;
  }

 private:
  bool take(std::string_view expected) {
    if (!rest_.starts_with(expected)) return false;
    rest_.remove_prefix(expected.size());
    return true;
  }

  // chunk-size [ chunk-ext ] CRLF
  std::optional<std::size_t> chunk_size() {
    std::size_t size = 0;
    const auto [end, status] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), size, 16);
    if (status != std::errc() || rest_.starts_with('-')) return std::nullopt;
    rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
    const std::size_t line_end = rest_.find("\r\n");
    if (line_end == std::string_view::npos) return std::nullopt;
    const std::string_view extension = http::trim(rest_.substr(0, line_end));
    if (!extension.empty() && extension[0] != ';') return std::nullopt;
    if (extension.find_first_of("\r\n") != std::string_view::npos) return std::nullopt;
    rest_.remove_prefix(line_end + 2);
    return size;
  }

  std::string_view rest_;
  std::size_t size_;
};

void compare(BodyFraming framing, std::uint64_t length, std::string_view rest) {
  const auto reader = [=] { return server::BodyReader(framing, length); };
  if (reader().done()) return;  // no body, as with every 1xx, 204 and 304
  auto random = fuzz::random_of(rest);
  const Body body = read(reader(), {rest});
  expect(body == read(reader(), fuzz::cut(rest, random)), "however it arrives");
  if (framing != BodyFraming::chunked || body.end != Body::End::whole) return;
  const std::optional<Body> reference = ChunkReader(rest).read();
  expect(reference.has_value(), "what is accepted is a chunked body");
  expect(reference->text == body.text, "both readers see the same body");
  expect(reference->bytes == body.bytes, "both readers see the same end");
}

}  // namespace
}  // namespace spillway

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace spillway;
  const std::string_view text = fuzz::as_text(data, size);
  if (text.starts_with("HTTP/")) {
    const std::size_t end = text.find("\r\n\r\n");
    if (end == std::string_view::npos) return 0;
    std::vector<HeaderView> fields;
    const auto head = read_response_head(text.substr(0, end + 4), fields);
    if (head) compare(head->framing, head->content_length, text.substr(end + 4));
    return 0;
  }
  RequestHeadCheck check(HeadLimits{16 * 1024, 100});
  if (check.feed(text) != RequestHeadCheck::State::complete) return 0;
  compare(check.framing(), check.content_length(), text.substr(check.head_bytes()));
  return 0;
}
