// The program: reads its arguments and its configuration, shows what it made of them, and serves.
#include <fmt/format.h>
#include <openssl/rand.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <optional>
#include <sstream>
#include <string>

#include "config/load.hpp"
#include "server/demo.hpp"
#include "server/explain_page.hpp"
#include "server/gateway.hpp"
#include "server/health_check.hpp"
#include "server/log.hpp"

namespace {

using spillway::config::Loaded;
using spillway::config::Notice;
using spillway::config::Severity;
using spillway::config::Sources;
namespace server = spillway::server;

constexpr const char* kMasterKeyVariable = "SPILLWAY_MASTER_KEY";
constexpr const char* kDefaultListen = "127.0.0.1:4000";

struct Arguments {
  std::string config, providers, listen, log_level = "info";
  std::string model, outcome;
  unsigned threads = 0;
  bool demo = false, strict = false, generate_key = false, health_check = false, check = false,
       explain = false;
};

// Returns an exit code if the program is done already (help, version, bad arguments).
std::optional<int> parse(int argc, char** argv, Arguments& arguments) {
  CLI::App app{"Spillway, an OpenAI-compatible LLM gateway"};
  app.set_version_flag("--version", std::string("spillway ") + SPILLWAY_VERSION);
  const auto add_sources = [&](CLI::App& command) {
    command.add_option("--config", arguments.config, "LiteLLM's config.yaml (JSON works too)");
    command.add_option("--providers", arguments.providers,
                       "a providers.json that adds to the built-in one");
    command.add_option("--listen", arguments.listen, "HOST:PORT")->default_str(kDefaultListen);
    command.add_option("--threads", arguments.threads, "worker threads; default: one per core");
  };
  const auto add_serving = [&](CLI::App& command) {
    command.add_flag("--demo", arguments.demo,
                     "serve two built-in providers, one of which rate-limits");
    command.add_flag("--strict", arguments.strict, "refuse to start if a deployment is left out");
    command.add_flag("--generate-key", arguments.generate_key,
                     "make and print a key if none is configured");
    command.add_flag("--health-check", arguments.health_check,
                     "ask the gateway that listens there whether it is ready, and exit");
    command.add_option("--log-level", arguments.log_level, "debug, info, warn or error")
        ->check(CLI::IsMember({"debug", "info", "warn", "error"}));
  };
  add_sources(app);
  add_serving(app);
  CLI::App* serve = app.add_subcommand("serve", "serve requests (the default)");
  CLI::App* check =
      app.add_subcommand("check", "validate the configuration and show what it means");
  CLI::App* explain =
      app.add_subcommand("explain", "show what would happen to a request for a model, and why");
  explain->add_option("--model", arguments.model, "the model that a client asks for")->required();
  explain->add_option("--if", arguments.outcome,
                      "what every call ends in, such as rate_limit; default: success");
  app.require_subcommand(0, 1);
  add_sources(*serve);
  add_serving(*serve);
  add_sources(*check);
  add_sources(*explain);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : 2;
  }
  arguments.check = check->parsed();
  arguments.explain = explain->parsed();
  return std::nullopt;
}

Sources sources_from(const Arguments& arguments) {
  Sources sources;
  sources.environment = spillway::config::process_environment();
  if (!arguments.config.empty()) sources.config_file = arguments.config;
  if (!arguments.providers.empty()) sources.providers_file = arguments.providers;
  if (!arguments.listen.empty()) sources.listen = arguments.listen;
  if (arguments.threads > 0) sources.threads = arguments.threads;
  return sources;
}

void print(const std::vector<Notice>& notices) {
  for (const Notice& notice : notices)
    fmt::print(stderr, "{}{}\n", notice.severity == Severity::warning ? "warning: " : "",
               spillway::config::to_string(notice));
}

bool any_usable(const spillway::Config& config) {
  for (const auto& deployment : config.deployments)
    if (deployment.usable()) return true;
  return false;
}

bool any_left_out(const spillway::Config& config) {
  for (const auto& deployment : config.deployments)
    if (!deployment.usable()) return true;
  return false;
}

int check(const Arguments& arguments) {
  const auto loaded = spillway::config::load(sources_from(arguments));
  if (!loaded) {
    print(loaded.error());
    return 1;
  }
  print(loaded->warnings);
  fmt::print("{}", spillway::config::describe(loaded->config));
  return any_left_out(loaded->config) ? 1 : 0;
}

// Of a gateway that has just started: everybody is healthy.
int explain(const Arguments& arguments) {
  const auto loaded = spillway::config::load(sources_from(arguments));
  if (!loaded) {
    print(loaded.error());
    return 1;
  }
  const spillway::Config& config = loaded->config;
  const auto match = spillway::find_model(config, arguments.model);
  const auto if_asked = server::error_class_called(arguments.outcome);
  if (!match) fmt::print(stderr, "the model '{}' is not configured\n", arguments.model);
  const bool bad_outcome = !arguments.outcome.empty() && !if_asked;
  if (bad_outcome) fmt::print(stderr, "'{}' is not an error class\n", arguments.outcome);
  if (!match || bad_outcome) return 1;
  spillway::Random random;
  spillway::LocalFleet fleet(config, 0);
  const auto explanation = spillway::explain(config, fleet, *match, {}, if_asked, random,
                                             std::chrono::steady_clock::now());
  fmt::print("{}", server::explain_text(config, explanation));
  return 0;
}

std::string random_key() {
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  unsigned char bytes[32];
  if (RAND_bytes(bytes, sizeof bytes) != 1) throw std::runtime_error("no randomness for a key");
  std::string key = "sk-";
  for (const unsigned char byte : bytes) key += kAlphabet[byte % kAlphabet.size()];
  return key;
}

// A key of the user's own wins over the one we made.
void settle_generated_key(spillway::Config& config, const std::string& generated) {
  if (config.keys.size() > 1)
    std::erase_if(config.keys, [&](const auto& key) { return key.key.reveal() == generated; });
  else
    fmt::print(stderr, "no key is configured; made one for this run: {}\n", generated);
}

void show_log_level(const std::string& level) {
  if (level == "debug") server::set_log_level(server::LogLevel::debug);
  if (level == "warn") server::set_log_level(server::LogLevel::warn);
  if (level == "error") server::set_log_level(server::LogLevel::error);
}

int serve(const Arguments& arguments) {
  Sources sources = sources_from(arguments);
  std::string generated;
  if (arguments.generate_key && !sources.environment.contains(kMasterKeyVariable)) {
    generated = random_key();
    sources.environment[kMasterKeyVariable] = generated;
  }
  std::optional<server::Demo> demo;
  if (arguments.demo) demo.emplace();
  auto loaded = demo ? spillway::config::load_text(demo->config_text(), "demo", sources)
                     : spillway::config::load(sources);
  if (!loaded) {
    print(loaded.error());
    return 1;
  }
  print(loaded->warnings);
  if (!generated.empty()) settle_generated_key(loaded->config, generated);
  fmt::print(stderr, "{}", spillway::config::describe(loaded->config));
  if (!any_usable(loaded->config)) {
    fmt::print(stderr,
               "no deployment is usable: set a provider's key in the environment, give a --config, "
               "or try --demo\n");
    return 1;
  }
  if (arguments.strict && any_left_out(loaded->config)) {
    fmt::print(stderr, "--strict: a deployment is left out, see above\n");
    return 1;
  }
  const std::string host = loaded->config.listen_host;
  server::Gateway gateway(std::move(loaded->config));
  const auto port = gateway.listen();
  if (!port) {
    fmt::print(stderr, "{}\n", port.error());
    return 1;
  }
  const bool ipv6 = host.find(':') != std::string::npos;
  fmt::print(stderr, "spillway {} listening on http://{}{}{}:{}\n", SPILLWAY_VERSION,
             ipv6 ? "[" : "", host, ipv6 ? "]" : "", *port);
  return gateway.run();
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  if (const auto done = parse(argc, argv, arguments)) return *done;
  try {
    if (arguments.health_check)
      return server::health_check(arguments.listen.empty() ? kDefaultListen : arguments.listen);
    if (arguments.check) return check(arguments);
    if (arguments.explain) return explain(arguments);
    show_log_level(arguments.log_level);
    const int code = serve(arguments);
    server::shut_down_logs();
    return code;
  } catch (const std::exception& error) {
    fmt::print(stderr, "spillway: {}\n", error.what());
    return 1;
  }
}
