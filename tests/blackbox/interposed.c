// Preloaded into the gateway by tests: a wall clock that jumps, a name with two addresses, a thread
// that hangs, memory that cannot be had, sockets with little room, and TLS connections that there
// is none for. It counts as well how often the kernel is told what to wait for.
//
// Each variable names a file that holds a 64-bit integer. SPILLWAY_TEST_CLOCK: a number of seconds,
// which is added to the time of day. SPILLWAY_TEST_HANG: while it is not 0 the first thread that
// waits for events does not come back; the main thread is spared. SPILLWAY_TEST_STARVE: so many
// bytes at once, or more, cannot be had; 0: all can. SPILLWAY_TEST_TELLINGS: how many calls of
// epoll_ctl(2) there were. SPILLWAY_TEST_CRAMP: while it is not 0 a socket takes half of what it is
// given, and the rest at the next call. SPILLWAY_TEST_NO_TLS is a number itself: the first so many TLS
// connections cannot be made. many.test has the addresses 127.0.0.2 and 127.0.0.1, in this order.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t* jump;
static volatile int64_t* hang;
static volatile int64_t* starve;
static volatile int64_t* tellings;
static volatile int64_t* cramp;

static volatile int64_t* number_in(const char* variable) {
  const char* file = getenv(variable);
  const int fd = file ? open(file, O_RDWR | O_CLOEXEC) : -1;
  const int both = PROT_READ | PROT_WRITE;
  void* seen = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *jump, both, MAP_SHARED, fd, 0);
  return seen == MAP_FAILED ? NULL : seen;
}

__attribute__((constructor)) static void open_files(void) {
  jump = number_in("SPILLWAY_TEST_CLOCK");
  hang = number_in("SPILLWAY_TEST_HANG");
  starve = number_in("SPILLWAY_TEST_STARVE");
  tellings = number_in("SPILLWAY_TEST_TELLINGS");
  cramp = number_in("SPILLWAY_TEST_CRAMP");
}

extern void* __libc_malloc(size_t size);

void* malloc(size_t size) {
  if (!starve || !*starve || size < (size_t)*starve) return __libc_malloc(size);
  errno = ENOMEM;
  return NULL;
}

int epoll_wait(int epoll, struct epoll_event* events, int most, int timeout) {
  static int (*real)(int, struct epoll_event*, int, int);
  static int hanging;
  if (!real) real = (int (*)(int, struct epoll_event*, int, int))dlsym(RTLD_NEXT, "epoll_wait");
  const int may_hang = hang && *hang && gettid() != getpid();
  if (may_hang && !__atomic_exchange_n(&hanging, 1, __ATOMIC_ACQ_REL)) {
    while (*hang) usleep(1000);
    __atomic_store_n(&hanging, 0, __ATOMIC_RELEASE);
  }
  return real(epoll, events, most, timeout);
}

int epoll_ctl(int epoll, int change, int fd, struct epoll_event* event) {
  static int (*real)(int, int, int, struct epoll_event*);
  if (!real) real = (int (*)(int, int, int, struct epoll_event*))dlsym(RTLD_NEXT, "epoll_ctl");
  if (tellings) __atomic_fetch_add(tellings, 1, __ATOMIC_RELAXED);
  return real(epoll, change, fd, event);
}

long syscall(long number, ...) {
  static long (*real)(long, ...);
  static char halved[4096];  // by descriptor
  if (!real) real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
  long given[6];
  va_list list;
  va_start(list, number);
  for (int i = 0; i < 6; ++i) given[i] = va_arg(list, long);
  va_end(list);
  if (number == SYS_sendto && cramp && *cramp && (unsigned long)given[0] < sizeof halved && given[2] > 1) {
    halved[given[0]] ^= 1;
    if (halved[given[0]]) given[2] /= 2;
  }
  return real(number, given[0], given[1], given[2], given[3], given[4], given[5]);
}

int clock_gettime(clockid_t clock, struct timespec* now) {
  static int (*real)(clockid_t, struct timespec*);
  if (!real) real = (int (*)(clockid_t, struct timespec*))dlsym(RTLD_NEXT, "clock_gettime");
  const int result = real(clock, now);
  const int of_day = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE;
  if (result == 0 && jump && of_day) now->tv_sec += *jump;
  return result;
}

int gettimeofday(struct timeval* restrict now, void* restrict zone) {
  (void)zone;
  struct timespec spec;
  if (clock_gettime(CLOCK_REALTIME, &spec) != 0) return -1;
  now->tv_sec = spec.tv_sec;
  now->tv_usec = spec.tv_nsec / 1000;
  return 0;
}

time_t time(time_t* out) {
  struct timespec spec;
  if (clock_gettime(CLOCK_REALTIME, &spec) != 0) return -1;
  if (out) *out = spec.tv_sec;
  return spec.tv_sec;
}

int getaddrinfo(const char* host, const char* service, const struct addrinfo* hints,
                struct addrinfo** found) {
  static int (*real)(const char*, const char*, const struct addrinfo*, struct addrinfo**);
  if (!real)
    real = (int (*)(const char*, const char*, const struct addrinfo*, struct addrinfo**))dlsym(
        RTLD_NEXT, "getaddrinfo");
  if (!host || strcmp(host, "many.test") != 0) return real(host, service, hints, found);
  struct addrinfo* second = NULL;
  int failed = real("127.0.0.2", service, hints, found);
  if (!failed) failed = real("127.0.0.1", service, hints, &second);
  if (failed) return failed;
  struct addrinfo* last = *found;
  while (last->ai_next) last = last->ai_next;
  last->ai_next = second;  // freeaddrinfo() follows the links
  return 0;
}

void* SSL_new(void* context) {
  static void* (*real)(void*);
  static int failed;
  if (!real) real = (void* (*)(void*))dlsym(RTLD_NEXT, "SSL_new");
  const char* wanted = getenv("SPILLWAY_TEST_NO_TLS");
  if (wanted && failed < atoi(wanted)) {
    ++failed;
    return NULL;
  }
  return real(context);
}
