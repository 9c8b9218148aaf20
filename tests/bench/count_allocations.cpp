// A library to be preloaded (LD_PRELOAD) into a proxy: counts the memory that it asks for, in a
// file that BENCH_ALLOCATIONS names and that the script reads. For programs that use the C
// library's allocator.

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

// The C library's own functions, under the names by which it reaches them itself.
extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* old, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);
}

namespace {

std::atomic<std::uint64_t> unseen{0};
// Points into the file once that is mapped; processes that are forked share it.
std::atomic<std::uint64_t>* count = &unseen;

// A constructor of the library, so that the file is there before the program's first request.
[[gnu::constructor]] void map_the_file() {
  const char* path = std::getenv("BENCH_ALLOCATIONS");
  const int file = path == nullptr ? -1 : ::open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0 || ::ftruncate(file, sizeof(*count)) != 0) return;
  void* mapped = ::mmap(nullptr, sizeof(*count), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  ::close(file);
  if (mapped != MAP_FAILED) count = static_cast<std::atomic<std::uint64_t>*>(mapped);
}

void note() {
  count->fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

extern "C" {

void* malloc(std::size_t size) {
  note();
  return __libc_malloc(size);
}

void* calloc(std::size_t number, std::size_t size) {
  note();
  return __libc_calloc(number, size);
}

void* realloc(void* old, std::size_t size) {
  note();
  return __libc_realloc(old, size);
}

void* memalign(std::size_t alignment, std::size_t size) {
  note();
  return __libc_memalign(alignment, size);
}

void* aligned_alloc(std::size_t alignment, std::size_t size) {
  note();
  return __libc_memalign(alignment, size);
}

int posix_memalign(void** made, std::size_t alignment, std::size_t size) {
  note();
  void* found = __libc_memalign(alignment, size);
  if (found == nullptr) return ENOMEM;
  *made = found;
  return 0;
}

}  // extern "C"
