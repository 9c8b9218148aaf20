// `spillway --demo`: two providers of our own on loopback, of which the first always answers 429,
// so that one curl shows an answer and its headers show the failover. No keys, no network.
#pragma once

#include <memory>
#include <string>
#include <thread>

#include "server/asio.hpp"

namespace spillway::server {

class Demo {
 public:
  Demo();  // starts both; throws boost::system::system_error if loopback cannot be bound
  ~Demo();
  Demo(const Demo&) = delete;
  Demo& operator=(const Demo&) = delete;

  // The configuration that points at them, as config.yaml would say it.
  std::string config_text() const;

 private:
  enum class Role { rate_limited, healthy };
  Awaitable<void> accept(Acceptor& acceptor, Role role);
  static Awaitable<void> serve(AsioSocket socket, Role role);

  asio::io_context io_{1};
  Acceptor rate_limited_;
  Acceptor healthy_;
  std::thread thread_;
};

}  // namespace spillway::server
