#include "server/socket.hpp"

#include <netinet/tcp.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace spillway::server {

namespace {

constexpr std::uint32_t kEnd = EPOLLRDHUP | EPOLLHUP | EPOLLERR;
constexpr std::uint32_t kReadable = EPOLLIN | kEnd;
constexpr std::uint32_t kWritable = EPOLLOUT | EPOLLHUP | EPOLLERR;
constexpr std::size_t kMostBuffers = 64;  // of one write

error_code last_error() {
  return {errno, asio::error::get_system_category()};
}

template <typename Value>
void set_option(const Socket& socket, int level, int name, const Value& value) {
  ::setsockopt(socket.native_handle(), level, name, &value, sizeof value);
}

}  // namespace

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  std::swap(number_, other.number_);
  return *this;
}

Descriptor::~Descriptor() {
  if (number_ >= 0) ::close(number_);
}

// --- the set
// --------------------------------------------------------------------------------------

void SocketSet::start(asio::io_context& io) {
  Descriptor kernel(::epoll_create1(EPOLL_CLOEXEC));
  Descriptor woken(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  epoll_event event{EPOLLIN, {nullptr}};
  if (kernel.get() < 0 || woken.get() < 0 ||
      ::epoll_ctl(kernel.get(), EPOLL_CTL_ADD, woken.get(), &event) != 0)
    throw boost::system::system_error(last_error(), "the sockets of a worker");
  kernel_.emplace(io, kernel.get());
  kernel.release();
  woken_ = std::move(woken);
  wait();
}

void SocketSet::stop() {
  kernel_.reset();
  count_ = next_ = 0;
  for (Sockets* const sockets : {&known_, &ending_}) {
    while (!sockets->empty()) {
      Socket& socket = sockets->front();
      socket.unlink();
      const auto reader = std::exchange(socket.reader_, std::nullopt);
      const auto writer = std::exchange(socket.writer_, std::nullopt);
    }
  }
}

void SocketSet::wait() {
  kernel_->async_wait(asio::posix::descriptor_base::wait_read, [this](error_code ec) {
    if (!ec) serve();
  });
}

void SocketSet::serve() {
  // Also where something throws: what is left is told of again.
  struct GoOn {
    SocketSet& set;
    ~GoOn() {
      if (set.next_ < set.count_ || !set.ending_.empty()) set.wake();
      set.wait();
    }
  } go_on{*this};
  if (next_ == count_) {
    const int count =
        ::epoll_wait(kernel_->native_handle(), told_.data(), static_cast<int>(kAtOnce), 0);
    next_ = 0;
    count_ = static_cast<std::size_t>(std::max(count, 0));
  }
  while (next_ < count_) serve_next();
}

void SocketSet::serve_next() {
  epoll_event& told = told_[next_];
  if (!told.data.ptr) {
    ++next_;
    return end_waits();
  }
  auto& socket = *static_cast<Socket*>(told.data.ptr);
  // What goes on may close this socket, or throw.
  const std::uint32_t news = told.events;
  told.events &= kWritable;
  if (news & kReadable) socket.became_readable(news & kEnd);
  ++next_;
  if (told.events & kWritable) Socket::go_on(socket.writer_, {});
}

void SocketSet::end_waits() {
  std::uint64_t times = 0;
  [[maybe_unused]] const auto read = ::read(woken_.get(), &times, sizeof times);
  awake_ = false;
  while (!ending_.empty()) {
    Socket& socket = ending_.front();
    socket.unlink();
    if (socket.known_) known_.push_back(socket);
    // One of them may take the socket along.
    auto reader = std::exchange(socket.reader_, std::nullopt);
    auto writer = std::exchange(socket.writer_, std::nullopt);
    Socket::go_on(reader, asio::error::operation_aborted);
    Socket::go_on(writer, asio::error::operation_aborted);
  }
}

void SocketSet::wake() {
  if (std::exchange(awake_, true)) return;
  const std::uint64_t once = 1;
  [[maybe_unused]] const auto written = ::write(woken_.get(), &once, sizeof once);
}

// --- a socket
// -------------------------------------------------------------------------------------

Socket::Socket(SocketSet& set, std::function<void()> on_readable)
    : set_(set), on_readable_(std::move(on_readable)) {}

Socket::~Socket() {
  close();
}

void Socket::open(Descriptor descriptor) {
  close();
  descriptor_ = std::move(descriptor);
  constexpr int kOn = 1;
  set_option(*this, IPPROTO_TCP, TCP_NODELAY, kOn);
}

void Socket::connect(const Tcp::endpoint& endpoint, error_code& ec) {
  ec = {};
  Descriptor made(::socket(endpoint.protocol().family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
                           IPPROTO_TCP));
  if (made.get() < 0) {
    ec = last_error();
    return;
  }
  open(std::move(made));
  const auto* address = endpoint.data();
  if (::connect(native_handle(), address, static_cast<socklen_t>(endpoint.size())) == 0) return;
  if (errno != EINPROGRESS && errno != EINTR) ec = last_error();
}

error_code Socket::connected() const {
  int problem = 0;
  socklen_t size = sizeof problem;
  if (::getsockopt(native_handle(), SOL_SOCKET, SO_ERROR, &problem, &size) != 0)
    return last_error();
  return {problem, asio::error::get_system_category()};
}

std::size_t Socket::read_some(std::span<char> room, error_code& ec) {
  ec = {};
  const auto n = ::recv(native_handle(), room.data(), room.size(), 0);
  if (n <= 0) {
    ec = n < 0 ? last_error() : error_code(asio::error::eof);
    if (ec == asio::error::would_block) found_empty();
    return 0;
  }
  const auto got = static_cast<std::size_t>(n);
  if (got < room.size()) found_empty();
  return got;
}

std::size_t Socket::write_some(std::span<const asio::const_buffer> buffers, error_code& ec) {
  ec = {};
  std::array<iovec, kMostBuffers> pieces;
  const std::size_t count = std::min(buffers.size(), pieces.size());
  for (std::size_t i = 0; i < count; ++i)
    pieces[i] = {const_cast<void*>(buffers[i].data()), buffers[i].size()};
  msghdr message{};
  message.msg_iov = pieces.data();
  message.msg_iovlen = count;
  const auto n = ::sendmsg(native_handle(), &message, MSG_NOSIGNAL);
  if (n >= 0) return static_cast<std::size_t>(n);
  ec = last_error();
  return 0;
}

void Socket::wait_readable(error_code& ec, coroutine::Chain::Waiting waiting) {
  reader_.emplace(std::move(waiting), ec);
  if (!is_open())
    cancel();
  else if (!will_tell_)
    ask();
}

void Socket::wait_writable(error_code& ec, coroutine::Chain::Waiting waiting) {
  writer_.emplace(std::move(waiting), ec);
  if (is_open())
    ask();
  else
    cancel();
}

void Socket::watch() {
  watched_ = true;
  if (is_open() && !will_tell_) ask();
}

// What the kernel cannot be asked of is of no use to anybody.
void Socket::ask() {
  epoll_event event{EPOLLIN | EPOLLRDHUP | EPOLLET, {this}};
  if (writer_) event.events |= EPOLLOUT;
  const int kernel = set_.kernel_ ? set_.kernel_->native_handle() : -1;
  if (::epoll_ctl(kernel, known_ ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, native_handle(), &event) != 0)
    return close();
  if (!std::exchange(known_, true) && !is_linked()) set_.known_.push_back(*this);
  will_tell_ = true;
}

void Socket::became_readable(bool ended) {
  will_tell_ = false;
  ended_ = ended_ || ended;
  const bool watched = std::exchange(watched_, false);
  if (reader_)
    go_on(reader_, {});
  else if (watched)
    on_readable_();
}

void Socket::go_on(std::optional<Waiter>& waiter, error_code ec) {
  std::optional<Waiter> taken = std::move(waiter);
  waiter.reset();
  if (!taken) return;
  taken->ec = ec;
  taken->waiting.go_on();
}

void Socket::cancel() {
  if (!reader_ && !writer_) return;
  if (is_linked()) unlink();
  set_.ending_.push_back(*this);
  set_.wake();
}

// The kernel is told so, because a process that is being started may share the socket for a moment.
void Socket::close() {
  if (!is_open()) return;
  if (std::exchange(known_, false)) {
    if (is_linked()) unlink();
    if (set_.kernel_)
      ::epoll_ctl(set_.kernel_->native_handle(), EPOLL_CTL_DEL, native_handle(), nullptr);
    for (std::size_t i = set_.next_; i < set_.count_; ++i)
      if (set_.told_[i].data.ptr == this) set_.told_[i].events = 0;
  }
  descriptor_ = Descriptor();
  will_tell_ = ended_ = watched_ = false;
  cancel();
}

void Socket::reset() {
  constexpr linger kAtOnce{1, 0};
  set_option(*this, SOL_SOCKET, SO_LINGER, kAtOnce);
  close();
}

void Socket::end_sending(error_code& ec) {
  ec = {};
  if (::shutdown(native_handle(), SHUT_WR) != 0) ec = last_error();
}

Tcp::endpoint Socket::peer(error_code& ec) const {
  ec = {};
  Tcp::endpoint endpoint;
  auto size = static_cast<socklen_t>(endpoint.capacity());
  if (::getpeername(native_handle(), endpoint.data(), &size) == 0)
    endpoint.resize(size);
  else
    ec = last_error();
  return endpoint;
}

PeerState peek_peer(Socket& socket) {
  char byte;
  const auto n = ::recv(socket.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  if (n > 0) return PeerState::has_data;
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
    socket.found_empty();
    return PeerState::open;
  }
  return n < 0 && errno == EINTR ? PeerState::open : PeerState::gone;
}

bool peer_closed(const Socket& socket) {
  tcp_info info{};
  socklen_t length = sizeof info;
  if (::getsockopt(socket.native_handle(), IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return true;
  return info.tcpi_state != TCP_ESTABLISHED;
}

}  // namespace spillway::server
