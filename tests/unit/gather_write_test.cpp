#include "server/gather_write.hpp"

#include <sys/socket.h>

#include <catch2/catch_test_macros.hpp>
#include <string>
#include <vector>

#include "socket_pair.hpp"

namespace spillway::server {
namespace {

Buffers of(const std::vector<std::string_view>& pieces) {
  return as_buffers(pieces);
}

TEST_CASE("what was sent is taken off the front, within a piece too") {
  Buffers buffers = of({"abc", "", "defg", "h"});
  CHECK(buffers.size() == 3);
  consume(buffers, 0);
  CHECK(copy_of(buffers) == "abcdefgh");
  consume(buffers, 4);
  CHECK(copy_of(buffers) == "efgh");
  consume(buffers, 3);
  CHECK(copy_of(buffers) == "h");
  consume(buffers, 1);
  CHECK(buffers.empty());
}

TEST_CASE("a write takes what the kernel takes at once, and leaves the rest") {
  WorkerLoop loop;
  Socket writer(loop, nullptr);
  const Descriptor reader = connected_to(writer);
  const std::string large(64 * 1024 * 1024, 'x');  // more than a socket ever buffers
  Buffers buffers = of({"head", large});
  error_code ec;
  const std::size_t sent = write_now(writer, buffers, ec);
  CHECK_FALSE(ec);
  CHECK(sent > 4);
  CHECK(sent < large.size());
  CHECK(size_of(buffers) == large.size() + 4 - sent);
  while (write_now(writer, buffers, ec) > 0) {
  }
  CHECK_FALSE(ec);  // full is no error
}

TEST_CASE("many small pieces arrive in their order, however many the kernel would take at once") {
  WorkerLoop loop;
  Socket writer(loop, nullptr);
  const Descriptor reader = connected_to(writer);
  std::vector<std::string> texts;
  for (int i = 0; i < 300; ++i) texts.push_back("piece " + std::to_string(i) + "\n");
  Buffers buffers = of({texts.begin(), texts.end()});
  const std::string expected = copy_of(buffers);
  error_code ec;
  CHECK(write_now(writer, buffers, ec) == expected.size());
  std::string read(expected.size() + 1, '\0');
  CHECK(::recv(reader.get(), read.data(), read.size(), 0) == static_cast<ssize_t>(expected.size()));
  CHECK(read.substr(0, expected.size()) == expected);
}

TEST_CASE("a write to a connection that is gone is an error") {
  WorkerLoop loop;
  Socket closed(loop, nullptr);
  Buffers buffers = of({"a"});
  error_code ec;
  CHECK(write_now(closed, buffers, ec) == 0);
  CHECK(ec);
}

}  // namespace
}  // namespace spillway::server
