#include "server/read_buffer.hpp"

#include <catch2/catch_test_macros.hpp>
#include <memory>

namespace spillway::server {
namespace {

class Reader : public ReadBuffer::Borrower {
 public:
  int told = 0;

 private:
  void take_home() override { ++told; }
};

TEST_CASE("whoever has bytes in the buffer is told before somebody else reads") {
  ReadBuffer buffer;
  Reader first, second;
  buffer.lend(first);
  CHECK(first.told == 0);
  buffer.lend(second);
  CHECK(first.told == 1);
  buffer.use();
  CHECK(first.told == 1);
  CHECK(second.told == 1);
  buffer.use();
  CHECK(second.told == 1);
}

TEST_CASE("whoever reads again is told, too: what lies there is overwritten") {
  ReadBuffer buffer;
  Reader reader;
  buffer.lend(reader);
  buffer.lend(reader);
  CHECK(reader.told == 1);
}

TEST_CASE("a borrower that is gone is not told") {
  ReadBuffer buffer;
  auto gone = std::make_unique<Reader>();
  Reader next;
  buffer.lend(*gone);
  gone.reset();
  buffer.lend(next);
  CHECK(next.told == 0);
}

}  // namespace
}  // namespace spillway::server
