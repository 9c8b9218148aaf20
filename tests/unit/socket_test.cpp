#include "server/socket.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <cerrno>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "socket_pair.hpp"

namespace spillway::server {
namespace {

// What is ready, and what comes of it.
void settle(WorkerLoop& loop) {
  while (loop.poll()) {
  }
}

// A socket and whoever is at its other end.
struct Pair {
  explicit Pair(WorkerLoop& loop) : socket(loop, [this] { ++calls; }), peer(connected_to(socket)) {}

  void send(std::string_view text) {
    REQUIRE(::write(peer.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  }
  // At most so many bytes; "-" if there are none yet, "." at the end.
  std::string read(std::size_t most) {
    std::string text(most, '\0');
    error_code ec;
    text.resize(socket.read_some(text, ec));
    if (ec == asio::error::would_block) return "-";
    return ec == asio::error::eof ? "." : text;
  }

  int calls = 0;
  Socket socket;
  Descriptor peer;
};

using Result = std::optional<error_code>;

TEST_CASE("a coroutine goes on when there is something to read") {
  WorkerLoop loop;
  Pair pair(loop);
  Result result;
  spawn(wait_readable(pair.socket, result));
  settle(loop);
  CHECK_FALSE(result);
  pair.send("a");
  settle(loop);
  CHECK(result == error_code());
  CHECK(pair.read(10) == "a");
  CHECK(pair.read(10) == "-");
}

TEST_CASE("what came before the wait ends it") {
  WorkerLoop loop;
  Pair pair(loop);
  SECTION("before the kernel knew the socket") {
    pair.send("a");
  }
  SECTION("after a read that found nothing") {
    CHECK(pair.read(10) == "-");
    pair.send("a");
  }
  SECTION("after the news of it came to nobody") {
    Result first;
    spawn(wait_readable(pair.socket, first));
    pair.send("a");
    settle(loop);
    CHECK(pair.read(10) == "a");
    pair.send("b");
    settle(loop);
  }
  Result result;
  spawn(wait_readable(pair.socket, result));
  CHECK_FALSE(result);  // but not from within
  settle(loop);
  CHECK(result == error_code());
}

TEST_CASE("what a read left behind ends the next wait") {
  WorkerLoop loop;
  Pair pair(loop);
  Result result;
  spawn(wait_readable(pair.socket, result));
  pair.send("abc");
  settle(loop);
  CHECK(pair.read(2) == "ab");
  Result rest;
  spawn(wait_readable(pair.socket, rest));
  settle(loop);
  CHECK(rest == error_code());
  CHECK(pair.read(2) == "c");
  Result more;
  spawn(wait_readable(pair.socket, more));
  settle(loop);
  CHECK_FALSE(more);
}

TEST_CASE("an end that came together with the last bytes ends each wait from then on") {
  WorkerLoop loop;
  Pair pair(loop);
  Result result;
  spawn(wait_readable(pair.socket, result));
  pair.send("a");
  pair.peer = Descriptor();
  settle(loop);
  CHECK(pair.read(10) == "a");  // short, which otherwise means that nothing is left
  for (int i = 0; i < 2; ++i) {
    Result end;
    spawn(wait_readable(pair.socket, end));
    settle(loop);
    CHECK(end == error_code());
    CHECK(pair.read(10) == ".");
  }
}

TEST_CASE("a socket is writable again once its peer has read") {
  WorkerLoop loop;
  Pair pair(loop);
  const std::string large(1024 * 1024, 'x');
  const asio::const_buffer all(large.data(), large.size());
  error_code ec;
  while (!ec) pair.socket.write_some(std::span(&all, 1), ec);
  CHECK(ec == asio::error::would_block);
  Result result;
  spawn(wait_writable(pair.socket, result));
  settle(loop);
  CHECK_FALSE(result);
  std::string drained(large.size(), ' ');
  while (::read(pair.peer.get(), drained.data(), drained.size()) > 0) {
  }
  settle(loop);
  CHECK(result == error_code());
}

TEST_CASE("reading and writing are waited for at the same time") {
  WorkerLoop loop;
  Pair pair(loop);
  Result readable;
  Result writable;
  spawn(wait_readable(pair.socket, readable));
  spawn(wait_writable(pair.socket, writable));
  settle(loop);
  CHECK(writable == error_code());
  CHECK_FALSE(readable);
  pair.send("a");
  settle(loop);
  CHECK(readable == error_code());
}

TEST_CASE(
    "who waits is told from the event loop that the socket was closed or the wait cancelled") {
  WorkerLoop loop;
  Pair pair(loop);
  Result reader;
  Result writer;
  bool closed = true;
  SECTION("closed") {}
  SECTION("cancelled") {
    closed = false;
  }
  const std::string large(1024 * 1024, 'x');
  const asio::const_buffer all(large.data(), large.size());
  for (error_code ec; !ec;) pair.socket.write_some(std::span(&all, 1), ec);
  spawn(wait_readable(pair.socket, reader));
  spawn(wait_writable(pair.socket, writer));
  settle(loop);
  if (closed)
    pair.socket.close();
  else
    pair.socket.cancel();
  CHECK_FALSE(reader);
  settle(loop);
  CHECK(reader == error_code(asio::error::operation_aborted));
  CHECK(writer == error_code(asio::error::operation_aborted));
  CHECK(pair.socket.is_open() != closed);
  // Afterwards as before.
  Result again;
  spawn(wait_readable(pair.socket, again));
  if (!closed) pair.send("a");
  settle(loop);
  CHECK(again == (closed ? error_code(asio::error::operation_aborted) : error_code()));
}

Awaitable<void> wait_twice(Socket& socket, Result& first, Result& second) {
  co_await wait_readable(socket, first);
  co_await wait_readable(socket, second);
}

TEST_CASE("a wait that begins after the socket was told to end another goes on") {
  WorkerLoop loop;
  Pair pair(loop);
  Result first;
  Result second;
  spawn(wait_twice(pair.socket, first, second));
  settle(loop);
  pair.send("a");  // its news come first
  pair.socket.cancel();
  settle(loop);
  CHECK(first == error_code(asio::error::operation_aborted));
  CHECK(second == error_code());
}

TEST_CASE("a socket that the kernel will not wait for tells so") {
  WorkerLoop loop;
  Socket file(loop, nullptr);
  file.open(Descriptor(::open("/proc/self/stat", O_RDONLY | O_CLOEXEC)));  // which epoll refuses
  Result result;
  spawn(wait_readable(file, result));
  CHECK_FALSE(file.is_open());
  settle(loop);
  CHECK(result == error_code(EPERM, asio::error::get_system_category()));
}

TEST_CASE("a socket can be opened again") {
  WorkerLoop loop;
  Pair pair(loop);
  Result first;
  spawn(wait_readable(pair.socket, first));
  pair.peer = connected_to(pair.socket);
  settle(loop);
  CHECK(first == error_code(asio::error::operation_aborted));
  Result second;
  spawn(wait_readable(pair.socket, second));
  settle(loop);
  CHECK_FALSE(second);
  pair.send("a");
  settle(loop);
  CHECK(second == error_code());
}

TEST_CASE("who watches is called once for each time, unless a coroutine reads") {
  WorkerLoop loop;
  Pair pair(loop);
  pair.socket.watch();
  settle(loop);
  CHECK(pair.calls == 0);
  pair.send("a");
  settle(loop);
  CHECK(pair.calls == 1);
  pair.send("b");
  settle(loop);
  CHECK(pair.calls == 1);
  pair.socket.watch();  // there is something still
  settle(loop);
  CHECK(pair.calls == 2);
  CHECK(pair.read(10) == "ab");
  pair.socket.watch();
  Result result;
  spawn(wait_readable(pair.socket, result));
  pair.send("c");
  settle(loop);
  CHECK(result == error_code());
  CHECK(pair.calls == 2);
  pair.socket.watch();
  pair.socket.unwatch();
  settle(loop);
  CHECK(pair.calls == 2);
}

TEST_CASE("whose socket is closed while the news of it are on their way is not called") {
  WorkerLoop loop;
  int calls = 0;
  std::optional<Socket> first;
  std::optional<Socket> second;
  first.emplace(loop, [&] {
    ++calls;
    second.reset();
  });
  second.emplace(loop, [&] {
    ++calls;
    first.reset();
  });
  const Descriptor to_first = connected_to(*first);
  const Descriptor to_second = connected_to(*second);
  for (auto* const socket : {&first, &second}) (*socket)->watch();
  for (const auto* const peer : {&to_first, &to_second}) REQUIRE(::write(peer->get(), "a", 1) == 1);
  settle(loop);
  CHECK(calls == 1);
}

TEST_CASE("sockets that end while news of them are on their way are not looked at any more") {
  const bool throws = GENERATE(false, true);
  WorkerLoop loop;
  std::vector<std::unique_ptr<Pair>> ending;
  Result never;
  Socket first(loop, [&] {
    ending.clear();
    if (throws) throw std::runtime_error("first");
  });
  const Descriptor to_first = connected_to(first);
  first.watch();
  REQUIRE(::write(to_first.get(), "a", 1) == 1);
  for (int i = 0; i < 6; ++i) {
    ending.push_back(std::make_unique<Pair>(loop));
    spawn(wait_readable(ending.back()->socket, never));
    ending.back()->send("a");
  }
  Pair last(loop);
  Result result;
  spawn(wait_readable(last.socket, result));
  last.send("a");
  if (throws) CHECK_THROWS(settle(loop));
  settle(loop);
  CHECK(ending.empty());
  CHECK_FALSE(never);
  CHECK(result == error_code());
}

TEST_CASE("what one throws keeps the others' news") {
  WorkerLoop loop;
  Socket broken(loop, [] { throw std::runtime_error("broken"); });
  const Descriptor to_broken = connected_to(broken);
  Pair pair(loop);
  Result result;
  broken.watch();
  spawn(wait_readable(pair.socket, result));
  REQUIRE(::write(to_broken.get(), "a", 1) == 1);
  pair.send("a");
  CHECK_THROWS(settle(loop));
  settle(loop);
  CHECK(result == error_code());
}

TEST_CASE("more sockets than are told of at once all have their turn") {
  WorkerLoop loop;
  std::vector<std::unique_ptr<Pair>> pairs;
  for (int i = 0; i < 300; ++i) {
    pairs.push_back(std::make_unique<Pair>(loop));
    pairs.back()->socket.watch();
    pairs.back()->send("a");
  }
  settle(loop);
  for (const auto& pair : pairs) CHECK(pair->calls == 1);
}

Awaitable<void> hold(std::unique_ptr<Pair> pair, std::shared_ptr<int> held) {
  Result result;
  co_await wait_readable(pair->socket, result);
  *held = 1;
}

TEST_CASE("coroutines that wait for their sockets end with the set") {
  const auto held = std::make_shared<int>(0);
  {
    WorkerLoop loop;
    spawn(hold(std::make_unique<Pair>(loop), held));
    auto pair = std::make_unique<Pair>(loop);
    Socket& ending = pair->socket;
    spawn(hold(std::move(pair), held));
    settle(loop);
    ending.close();
    CHECK(held.use_count() == 3);
  }
  CHECK(held.use_count() == 1);
  CHECK(*held == 0);
}

TEST_CASE("a connection is made, or the reason told why not") {
  WorkerLoop loop;
  Acceptor acceptor(loop.io(), Tcp::endpoint(asio::ip::address_v4::loopback(), 0));
  const Tcp::endpoint endpoint = acceptor.local_endpoint();
  Socket socket(loop, nullptr);
  error_code ec;
  for (const bool listening : {true, false}) {
    if (!listening) acceptor.close();
    socket.connect(endpoint, ec);
    CHECK_FALSE(ec);
    Result result;
    spawn(wait_writable(socket, result));
    settle(loop);
    CHECK(result == error_code());
    CHECK(socket.connected() == (listening ? error_code() : asio::error::connection_refused));
    if (listening) CHECK(socket.peer(ec) == endpoint);
  }
}

}  // namespace
}  // namespace spillway::server
