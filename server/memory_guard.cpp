#include "server/memory_guard.hpp"

#include <fcntl.h>
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <string>
#include <string_view>

#include "core/bounds.hpp"
#include "server/log.hpp"

namespace spillway::server {

namespace {

std::size_t page_bytes() {
  static const auto bytes = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return bytes;
}

std::optional<std::size_t> number_in(std::string_view text) {
  std::size_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return std::nullopt;
  return number;
}

// The second field of /proc/self/statm, in pages.
std::size_t resident_bytes() {
  char text[128];
  const int file = ::open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;  // out of descriptors: the look before still counts
  const auto n = ::read(file, text, sizeof text);
  ::close(file);
  const std::string_view fields(text, n > 0 ? static_cast<std::size_t>(n) : 0);
  const auto space = fields.find(' ');
  if (space == std::string_view::npos) return 0;
  return number_in(fields.substr(space + 1)).value_or(0) * page_bytes();
}

void give_unused_memory_back() {
#ifdef __GLIBC__
  ::malloc_trim(0);
#endif
}

// The limits of a folder of the cgroup tree and of those above it, up to the tree's root.
std::optional<std::size_t> least_limit(const std::string& root, std::string folder,
                                       const char* file) {
  std::optional<std::size_t> least;
  for (;;) {
    std::ifstream limit(root + folder + "/" + file);
    std::string text;
    if (std::getline(limit, text)) {
      const auto bytes = number_in(text);  // "max" is none
      if (bytes) least = std::min(least.value_or(*bytes), *bytes);
    }
    if (folder.empty()) return least;
    folder.resize(std::min(folder.rfind('/'), folder.size() - 1));
  }
}

}  // namespace

std::optional<std::size_t> cgroup_memory_limit() {
  std::optional<std::size_t> least;
  std::ifstream groups("/proc/self/cgroup");  // lines of number:controllers:path
  for (std::string line; std::getline(groups, line);) {
    const auto first = line.find(':');
    const auto second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    std::string path = line.substr(second + 1);
    if (path == "/") path.clear();
    std::optional<std::size_t> limit;
    if (controllers.empty())
      limit = least_limit("/sys/fs/cgroup", path, "memory.max");
    else if (controllers == "memory")
      limit = least_limit("/sys/fs/cgroup/memory", path, "memory.limit_in_bytes");
    if (limit) least = std::min(least.value_or(*limit), *limit);
  }
  const auto machine = static_cast<std::size_t>(::sysconf(_SC_PHYS_PAGES)) * page_bytes();
  return least && *least < machine ? least : std::nullopt;
}

void MemoryGuard::use(std::optional<std::size_t> limit) {
  if (!limit) {
    // The kernel counts what it holds for the sockets too.
    const auto allowed = cgroup_memory_limit();
    limit = static_cast<std::size_t>(static_cast<double>(allowed.value_or(0)) *
                                     bounds::kMemoryOfCgroup);
  }
  limit_.store(*limit, std::memory_order_relaxed);
}

Awaitable<void> MemoryGuard::watch(asio::io_context& io, TimePoint (*clock)(),
                                   std::function<void()> shed) {
  Timer timer(io);
  error_code ec;
  while (!ec) {
    look(clock());
    if (pressure() != MemoryPressure::none) shed();
    timer.expires_after(bounds::kMemoryLook);
    co_await timer.async_wait(to(ec));
  }
}

void MemoryGuard::look(TimePoint now) {
  const std::size_t resident = resident_bytes();
  if (resident > 0) resident_.store(resident, std::memory_order_relaxed);
  written_.store(0, std::memory_order_relaxed);
  const MemoryPressure pressure = gauge_.look(this->resident(), limit());
  pressure_.store(pressure, std::memory_order_relaxed);
  switch (gauge_.news(now)) {
    case MemoryGauge::News::refusing:
      log_warn("memory is short: new requests are refused (spillway.limits.memory)");
      break;
    case MemoryGauge::News::relieved:
      log_info("memory is no longer short");
      break;
    case MemoryGauge::News::nothing:
      break;
  }
  // What was freed and kept for later counts too.
  constexpr auto kLooksPerTrim = bounds::kMemoryTrim / bounds::kMemoryLook;
  looks_ = pressure == MemoryPressure::none ? 0 : looks_ + 1;
  if (looks_ > 0 && looks_ % kLooksPerTrim == 1) give_unused_memory_back();
}

bool MemoryGuard::Claim::grow(std::size_t bytes) {
  const std::size_t limit = guard_.limit();
  const std::size_t claimed = guard_.claimed_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  const std::size_t used =
      guard_.resident() + guard_.written_.load(std::memory_order_relaxed) + claimed;
  if (memory_pressure(used, limit) != MemoryPressure::refusing) {
    bytes_ += bytes;
    return true;
  }
  guard_.claimed_.fetch_sub(bytes, std::memory_order_relaxed);
  return false;
}

void MemoryGuard::Claim::written(std::size_t bytes) {
  const std::size_t taken = std::min(bytes, bytes_);
  bytes_ -= taken;
  guard_.claimed_.fetch_sub(taken, std::memory_order_relaxed);
  guard_.written_.fetch_add(taken, std::memory_order_relaxed);
}

}  // namespace spillway::server
