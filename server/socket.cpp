#include "server/socket.hpp"

#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <cerrno>
#include <cstring>
#include <new>

namespace spillway::server {

namespace {

constexpr std::size_t kMostBuffers = 64;  // of one write
// Up to here copying them together costs less than having the kernel gather them.
constexpr std::size_t kCopiedBytes = 4096;
constexpr auto kNothingWrong = static_cast<asio::error::basic_errors>(0);

error_code system_error(int number) {
  return {number, asio::error::get_system_category()};
}

error_code last_error() {
  return system_error(errno);
}

template <typename Value>
void set_option(const Socket& socket, int level, int name, const Value& value) {
  ::setsockopt(socket.native_handle(), level, name, &value, sizeof value);
}

// As recv(2) and send(2), whose wrappers in the C library are places where a thread can be
// cancelled: that costs a program with several threads two locked operations a call. The sanitizers
// know only the wrappers.
#ifdef SPILLWAY_SANITIZED
ssize_t receive(int descriptor, void* room, std::size_t bytes) {
  return ::recv(descriptor, room, bytes, 0);
}
ssize_t send(int descriptor, const void* data, std::size_t bytes) {
  return ::send(descriptor, data, bytes, MSG_NOSIGNAL);
}
#else
ssize_t receive(int descriptor, void* room, std::size_t bytes) {
  return ::syscall(SYS_recvfrom, descriptor, room, bytes, 0, nullptr, nullptr);
}
ssize_t send(int descriptor, const void* data, std::size_t bytes) {
  return ::syscall(SYS_sendto, descriptor, data, bytes, MSG_NOSIGNAL, nullptr, 0);
}
#endif

// Both as send(2): what the kernel took, or -1.
ssize_t send_copied(int descriptor, std::span<const asio::const_buffer> buffers) {
  const asio::const_buffer& first = buffers.front();
  if (buffers.size() == 1) return send(descriptor, first.data(), first.size());
  std::array<char, kCopiedBytes> copy;
  std::size_t bytes = 0;
  for (const asio::const_buffer& buffer : buffers) {
    std::memcpy(copy.data() + bytes, buffer.data(), buffer.size());
    bytes += buffer.size();
  }
  return send(descriptor, copy.data(), bytes);
}

ssize_t send_gathered(int descriptor, std::span<const asio::const_buffer> buffers) {
  std::array<iovec, kMostBuffers> pieces;
  const std::size_t count = std::min(buffers.size(), pieces.size());
  for (std::size_t i = 0; i < count; ++i)
    pieces[i] = {const_cast<void*>(buffers[i].data()), buffers[i].size()};
  msghdr message{};
  message.msg_iov = pieces.data();
  message.msg_iovlen = count;
  return ::sendmsg(descriptor, &message, MSG_NOSIGNAL);
}

}  // namespace

Socket::Socket(WorkerLoop& loop, Callback on_readable)
    : loop_(loop), on_readable_(std::move(on_readable)) {}

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
  close();
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
  const auto n = receive(native_handle(), room.data(), room.size());
  if (n <= 0) {
    ec = n < 0 ? last_error() : error_code(asio::error::eof);
    if (ec == asio::error::would_block) found_empty();
    if (ec == asio::error::would_block && refused_ != 0) ec = system_error(refused_);
    return 0;
  }
  const auto got = static_cast<std::size_t>(n);
  if (got < room.size()) found_empty();
  return got;
}

std::size_t Socket::write_some(std::span<const asio::const_buffer> buffers, error_code& ec) {
  ec = {};
  const std::size_t bytes = asio::buffer_size(buffers);
  if (is_open() && !owes() && loop_.outbox_.put(*this, buffers, bytes)) {
    in_outbox_ = true;
    return bytes;
  }
  if (!flush()) ec = asio::error::would_block;
  if (refused_ != 0) ec = system_error(refused_);
  if (ec) return 0;
  const auto n = bytes <= kCopiedBytes ? send_copied(native_handle(), buffers)
                                       : send_gathered(native_handle(), buffers);
  if (n >= 0) return static_cast<std::size_t>(n);
  ec = last_error();
  return 0;
}

bool Socket::flush() {
  if (in_outbox_) loop_.outbox_.hand_over();
  return !unsent_;
}

void Socket::hand_over(std::string_view text) {
  in_outbox_ = false;
  if (!is_open() || refused_ != 0) return;
  if (!unsent_) {
    const auto n = send(native_handle(), text.data(), text.size());
    if (n < 0 && last_error() != asio::error::would_block) return refuse(errno);
    text.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
    if (text.empty()) return;
  }
  try {
    if (!unsent_) unsent_ = std::make_unique<std::string>();
    unsent_->append(text);
  } catch (const std::bad_alloc&) {
    return refuse(ENOMEM);
  }
  ask();
}

void Socket::send_rest() {
  const auto n = send(native_handle(), unsent_->data(), unsent_->size());
  if (n < 0 && last_error() != asio::error::would_block) return refuse(errno);
  unsent_->erase(0, static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
  if (unsent_->empty())
    unsent_.reset();
  else
    ask();
}

// Whoever waits finds out by reading or writing. What the peer said before is read first.
void Socket::refuse(int error) {
  refused_ = error;
  unsent_.reset();
  end_waits(kNothingWrong);
}

void Socket::wait_readable(error_code& ec, coroutine::Chain::Waiting waiting) {
  reader_.emplace(std::move(waiting), ec);
  if (!is_open())
    cancel();
  else if (refused_ != 0)
    refuse(refused_);
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

void Socket::ask() {
  epoll_event event{EPOLLIN | EPOLLRDHUP | EPOLLET, {this}};
  if (writer_ || unsent_) event.events |= EPOLLOUT;
  const int kernel = loop_.kernel_ ? loop_.kernel_->native_handle() : -1;
  if (::epoll_ctl(kernel, known_ ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, native_handle(), &event) != 0) {
    return close(static_cast<asio::error::basic_errors>(errno));
  }
  if (!std::exchange(known_, true) && !is_linked()) loop_.known_.push_back(*this);
  will_tell_ = true;
}

void Socket::became_readable(bool ended) {
  will_tell_ = false;
  ended_ = ended_ || ended;
  if (ending_) return;
  const bool watched = std::exchange(watched_, false);
  if (reader_)
    go_on(reader_, {});
  else if (watched)
    on_readable_();
}

void Socket::became_writable() {
  if (ending_) return;
  if (unsent_) send_rest();
  if (!unsent_ && !ending_) go_on(writer_, {});
}

void Socket::go_on(std::optional<Waiter>& waiter, error_code ec) {
  std::optional<Waiter> taken = std::move(waiter);
  waiter.reset();
  if (!taken) return;
  taken->ec = ec;
  taken->waiting.go_on();
}

void Socket::cancel() {
  end_waits(asio::error::operation_aborted);
}

void Socket::end_waits(asio::error::basic_errors why) {
  ending_ = reader_ || writer_;
  if (!ending_) return;
  failure_ = why;
  if (is_linked()) unlink();
  loop_.ending_.push_back(*this);
  loop_.wake();
}

void Socket::close() {
  close(asio::error::operation_aborted);
}

// The kernel is told so, because a process that is being started may share the socket for a moment.
void Socket::close(asio::error::basic_errors why) {
  flush();
  if (!is_open()) return;
  if (owes()) end_loudly(true);
  unsent_.reset();
  refused_ = 0;
  if (std::exchange(known_, false)) {
    if (is_linked()) unlink();
    if (loop_.kernel_)
      ::epoll_ctl(loop_.kernel_->native_handle(), EPOLL_CTL_DEL, native_handle(), nullptr);
    for (std::size_t i = loop_.next_; i < loop_.count_; ++i)
      if (loop_.told_[i].data.ptr == this) loop_.told_[i].events = 0;
  }
  descriptor_ = Descriptor();
  will_tell_ = ended_ = watched_ = false;
  end_waits(why);
}

void Socket::end_loudly(bool loud) {
  const linger unsent{loud ? 1 : 0, 0};  // socket(7): what the kernel has of it is dropped
  set_option(*this, SOL_SOCKET, SO_LINGER, unsent);
}

void Socket::end_sending(error_code& ec) {
  flush();
  ec = refused_ != 0 ? system_error(refused_) : error_code();
  if (!ec && ::shutdown(native_handle(), SHUT_WR) != 0) ec = last_error();
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
