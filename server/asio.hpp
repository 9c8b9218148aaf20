// The Asio types every part of server/ uses: executors are the io_context's own, so that nothing is
// type-erased.
#pragma once

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/system/error_code.hpp>
#include <chrono>

#include "server/coroutine.hpp"

namespace spillway::server {

namespace asio = boost::asio;
using boost::system::error_code;
using Tcp = asio::ip::tcp;
using Executor = asio::io_context::executor_type;
using AsioSocket = asio::basic_stream_socket<Tcp, Executor>;
using Acceptor = asio::basic_socket_acceptor<Tcp, Executor>;
using Timer = asio::basic_waitable_timer<std::chrono::steady_clock,
                                         asio::wait_traits<std::chrono::steady_clock>, Executor>;

// The completion token of this project: coroutines, errors by code instead of exception.
inline auto to(error_code& ec) {
  return asio::redirect_error(asio::deferred, ec);
}

}  // namespace spillway::server
