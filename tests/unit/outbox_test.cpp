#include "server/outbox.hpp"

#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <cerrno>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include "socket_pair.hpp"

namespace spillway::server {
namespace {

// A socket that has one turn when its peer has spoken.
struct Talker {
  explicit Talker(WorkerLoop& loop, Descriptor (*connect)(Socket&) = connected_to)
      : socket(loop,
               [this] {
                 if (const auto turn = std::exchange(on_turn, nullptr)) turn();
               }),
        peer(connect(socket)) {}

  // In the next round.
  void has_turn(std::function<void()> turn) {
    on_turn = std::move(turn);
    socket.watch();
    REQUIRE(::write(peer.get(), "?", 1) == 1);
  }
  // How much of it the socket took.
  std::size_t write(std::string_view text) {
    const asio::const_buffer buffer(text.data(), text.size());
    return socket.write_some(std::span(&buffer, 1), ec);
  }
  // What the peer has got: "-" if nothing, and then "." for the end, "!" for an error.
  std::string got() {
    std::string all;
    for (;;) {
      char room[1024];
      const auto n = ::read(peer.get(), room, sizeof room);
      if (n > 0) all.append(room, static_cast<std::size_t>(n));
      if (n == 0) return all + ".";
      if (n < 0 && errno != EAGAIN) return all + "!";
      if (n < 0) return all.empty() ? "-" : all;
    }
  }
  // As much as the kernel takes.
  std::string fill() {
    std::string all;
    const std::string much(8 * 1024, 'x');  // more than is put into the outbox
    for (std::size_t n = write(much); n > 0; n = write(much)) all.append(n, 'x');
    CHECK(ec == asio::error::would_block);
    return all;
  }

  std::function<void()> on_turn;
  error_code ec;
  Socket socket;
  Descriptor peer;
};

void settle(WorkerLoop& loop) {
  while (loop.poll()) {
  }
}

// Two sockets in a round of one loop; the first one has its turn first.
struct Round {
  explicit Round(Descriptor (*connect)(Socket&) = connected_to) : first(loop, connect) {}
  void of(
      std::function<void()> first_turn, std::function<void()> second_turn = [] {}) {
    first.has_turn(std::move(first_turn));
    second.has_turn(std::move(second_turn));
    settle(loop);
  }
  WorkerLoop loop;
  Talker first;
  Talker second{loop};
};

TEST_CASE("what sockets write while several have their turn goes out at the end of the round") {
  Round round;
  round.of(
      [&] {
        CHECK(round.first.write("ab") == 2);
        CHECK(round.first.write("c") == 1);
        CHECK(round.first.got() == "-");
      },
      [&] {
        CHECK(round.first.got() == "-");
        CHECK(round.second.write("d") == 1);
        CHECK(round.first.write("e") == 1);
      });
  CHECK(round.first.got() == "abce");
  CHECK(round.second.got() == "d");
}

TEST_CASE("a socket that has its turn alone, or none, writes at once") {
  WorkerLoop loop;
  Talker talker(loop);
  talker.has_turn([&] {
    CHECK(talker.write("a") == 1);
    CHECK(talker.got() == "a");
  });
  settle(loop);
  CHECK_FALSE(talker.on_turn);
  CHECK(talker.write("b") == 1);
  CHECK(talker.got() == "b");
}

TEST_CASE("what is too much to be put off goes out at once, behind what was") {
  Round round;
  const std::string much(Outbox::kMostBytes + 1, 'x');
  round.of([&] {
    CHECK(round.first.write("a") == 1);
    CHECK(round.first.write(much) == much.size());
    CHECK(round.first.got() == "a" + much);
  });
  CHECK(round.first.got() == "-");
}

TEST_CASE("more than there is room for goes out sooner, in its order") {
  Round round;
  const std::string some(Outbox::kMostBytes, 'x');
  std::string said;
  std::string got;
  std::size_t times = 100;
  std::size_t bytes = 3;  // more turns than are put off together
  SECTION("bytes") {
    times = 20;
    bytes = some.size();
  }
  round.of([&] {
    for (std::size_t i = 0; i < times; ++i) {
      const std::string text = std::to_string(i) + some.substr(0, bytes - 2);
      CHECK(round.first.write(text) == text.size());
      CHECK(round.second.write(text) == text.size());
      said += text;
    }
    got = round.first.got();
    CHECK(said.starts_with(got));
    CHECK(got.size() < said.size());
  });
  CHECK(got + round.first.got() == said);
  CHECK(round.second.got() == said);
}

TEST_CASE("whoever ends a connection in its turn has said everything before") {
  Round round;
  round.of([&] {
    char room[8];  // what was left unread would make an error of the end
    CHECK(round.first.socket.read_some(room, round.first.ec) == 1);
    CHECK(round.first.write("a") == 1);
    SECTION("closed") {
      round.first.socket.close();
    }
    SECTION("its sending side") {
      round.first.socket.end_sending(round.first.ec);
      CHECK_FALSE(round.first.ec);
    }
  });
  CHECK(round.first.got() == "a.");
}

TEST_CASE("a closed socket takes nothing") {
  Round round;
  round.of([&] {
    round.first.socket.close();
    CHECK(round.first.write("a") == 0);
    CHECK(round.first.ec == asio::error::bad_descriptor);
  });
}

TEST_CASE("what one throws keeps nobody from being heard") {
  Round round;
  round.first.has_turn([&] { CHECK(round.first.write("a") == 1); });
  round.second.has_turn([] { throw std::runtime_error("broken"); });
  CHECK_THROWS(settle(round.loop));
  CHECK(round.first.got() == "a");
}

TEST_CASE("what the kernel has no room for waits, and nothing is taken behind it") {
  Round round;
  Talker& talker = round.first;
  std::string said = talker.fill();
  round.of([&] {
    CHECK(talker.write("abc") == 3);
    said += "abc";
    CHECK_FALSE(talker.socket.owes());
    CHECK_FALSE(talker.socket.flush());
    CHECK(talker.socket.owes());
    CHECK(talker.write("d") == 0);
    CHECK(talker.ec == asio::error::would_block);
  });
  CHECK(talker.write("d") == 0);
  CHECK(talker.ec == asio::error::would_block);
  std::optional<error_code> writable;
  const bool somebody_waits = GENERATE(true, false);
  if (somebody_waits) spawn(wait_writable(talker.socket, writable));
  settle(round.loop);
  CHECK_FALSE(writable);
  std::string got;
  while (got.size() < said.size()) {
    const std::string more = talker.got();
    if (more != "-") got += more;
    settle(round.loop);
  }
  CHECK(got == said);
  CHECK_FALSE(talker.socket.owes());
  if (somebody_waits) CHECK(writable == error_code());
  CHECK(talker.write("d") == 1);
}

TEST_CASE("a kernel that takes little by little gets everything") {
  Round round;
  Talker& talker = round.first;
  const std::size_t before = talker.fill().size();
  const std::string much(Outbox::kMostBytes, 'y');
  round.of([&] {
    for (int i = 0; i < 5; ++i) CHECK(talker.write(much) == much.size());
    CHECK_FALSE(talker.socket.flush());
  });
  std::size_t got = 0;
  while (got < before + 5 * much.size()) {
    char room[700];  // less than the kernel tells of, each time
    const auto n = ::read(talker.peer.get(), room, sizeof room);
    if (n > 0) got += static_cast<std::size_t>(n);
    settle(round.loop);
  }
  CHECK_FALSE(talker.socket.owes());
}

TEST_CASE("a connection that ends before the kernel had room for everything ends in an error") {
  Round round(connected_over_tcp);
  round.of([&] {
    do {
      round.first.fill();
      CHECK(round.first.write("abc") == 3);
    } while (round.first.socket.flush());  // the peer's kernel may have made room meanwhile
    round.first.socket.close();
  });
  CHECK(round.first.got().back() == '!');
}

TEST_CASE("what the kernel refuses is told to whoever reads or writes next") {
  Round round;
  Talker& talker = round.first;
  std::optional<error_code> readable;
  round.of(
      [&] {
        talker.socket.end_sending(talker.ec);
        char room[8];
        CHECK(talker.socket.read_some(room, talker.ec) == 1);
        CHECK(talker.write("a") == 1);
      },
      [&] { spawn(wait_readable(talker.socket, readable)); });
  CHECK(readable == error_code());
  CHECK(talker.socket.owes());
  SECTION("who writes") {
    CHECK(talker.write("b") == 0);
    CHECK(talker.ec == asio::error::broken_pipe);
  }
  SECTION("who writes among others") {
    round.of([&] {
      CHECK(talker.write("b") == 0);
      CHECK(talker.ec == asio::error::broken_pipe);
    });
  }
  SECTION("who reads") {
    char room[8];
    CHECK(talker.socket.read_some(room, talker.ec) == 0);
    CHECK(talker.ec == asio::error::broken_pipe);
  }
  SECTION("who waits to read") {
    std::optional<error_code> again;
    spawn(wait_readable(talker.socket, again));
    settle(round.loop);
    CHECK(again == error_code());
  }
  SECTION("not before what the peer has said") {
    REQUIRE(::write(talker.peer.get(), "b", 1) == 1);
    char room[8];
    CHECK(talker.socket.read_some(room, talker.ec) == 1);
    CHECK_FALSE(talker.ec);
  }
}

}  // namespace
}  // namespace spillway::server
