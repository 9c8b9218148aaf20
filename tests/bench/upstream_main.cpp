// bench_upstream: the scripted upstream of the benchmark. Prints its ports as one line of JSON and
// serves until its standard input ends, so that it cannot outlive the script that started it.

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "tests/bench/certificate.hpp"
#include "tests/bench/net.hpp"
#include "tests/bench/upstream_worker.hpp"

namespace spillway::bench {
namespace {

// Sockets go to the workers in turn, so that these are equally loaded.
void accept_until_input_ends(const std::vector<int>& listeners, std::size_t plain, SSL_CTX* tls,
                             std::vector<std::unique_ptr<UpstreamWorker>>& workers) {
  std::vector<pollfd> watched{{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0}};
  for (const int listener : listeners)
    watched.push_back({.fd = listener, .events = POLLIN, .revents = 0});
  std::size_t turn = 0;
  for (;;) {
    ::poll(watched.data(), watched.size(), -1);
    char ignored = 0;
    if (watched[0].revents != 0 && ::read(STDIN_FILENO, &ignored, 1) <= 0) return;
    for (std::size_t i = 0; i < listeners.size(); ++i) {
      if (watched[i + 1].revents == 0) continue;
      for (int made;
           (made = ::accept4(listeners[i], nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        set_no_delay(made);
        workers[turn++ % workers.size()]->adopt(made, i < plain ? nullptr : tls);
      }
    }
  }
}

int serve(int argc, char** argv) {
  unsigned threads = 1;
  unsigned ports = 2;
  std::string certificate;
  CLI::App app("The scripted upstream of Spillway's benchmark");
  app.add_option("--threads", threads, "threads that serve")->check(CLI::Range(1, 64));
  app.add_option("--ports", ports, "plain ports, and as many with TLS")->check(CLI::Range(1, 16));
  app.add_option("--certificate", certificate, "where to write the certificate")->required();
  CLI11_PARSE(app, argc, argv);

  std::signal(SIGPIPE, SIG_IGN);
  raise_descriptor_limit();
  SSL_CTX* tls = make_server_context(certificate);
  std::vector<int> listeners;
  nlohmann::json said = {{"plain", nlohmann::json::array()}, {"tls", nlohmann::json::array()}};
  for (unsigned i = 0; i < 2 * ports; ++i) {
    listeners.push_back(listen_on_loopback());
    said[i < ports ? "plain" : "tls"].push_back(port_of(listeners.back()));
  }

  std::vector<std::unique_ptr<UpstreamWorker>> workers;
  for (unsigned i = 0; i < threads; ++i) {
    workers.push_back(std::make_unique<UpstreamWorker>());
    std::thread(&UpstreamWorker::run, workers.back().get()).detach();
  }
  std::printf("%s\n", said.dump().c_str());
  std::fflush(stdout);
  accept_until_input_ends(listeners, ports, tls, workers);
  std::_Exit(0);  // the workers never stop by themselves
}

}  // namespace
}  // namespace spillway::bench

int main(int argc, char** argv) {
  return spillway::bench::serve(argc, argv);
}
