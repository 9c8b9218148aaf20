// The program: reads its arguments and its configuration, shows what it made of them, and serves.
#include <fcntl.h>
#include <fmt/format.h>
#include <malloc.h>
#include <openssl/rand.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <optional>
#include <random>
#include <sstream>
#include <string>

#include "config/load.hpp"
#include "server/configuration_source.hpp"
#include "server/demo.hpp"
#include "server/explain_page.hpp"
#include "server/gateway.hpp"
#include "server/health_check.hpp"
#include "server/log.hpp"
#include "server/log_files.hpp"
#include "server/upstream_head.hpp"

namespace {

using spillway::config::Notice;
using spillway::config::Severity;
using spillway::config::Sources;
namespace server = spillway::server;
using server::ConfigurationSource;
using server::Inheritance;
using server::LogLevel;
using server::ProgramCall;
using server::tell_operator;

constexpr const char* kMasterKeyVariable = "SPILLWAY_MASTER_KEY";
// A generated key on its way to the process that takes over.
constexpr const char* kGeneratedKeyVariable = "SPILLWAY_GENERATED_KEY";
constexpr const char* kMasterKeyFileVariable = "SPILLWAY_MASTER_KEY_FILE";
constexpr const char* kDefaultListen = "127.0.0.1:4000";

struct Arguments {
  std::string config, providers, listen, log_level = "info", log_file;
  std::string model, outcome;
  unsigned threads = 0;
  bool demo = false, strict = false, generate_key = false, health_check = false, check = false,
       explain = false, core_dumps = false;
};

// A message for the operator. That nobody can read it must not stop the program.
template <typename... T>
void say(fmt::format_string<T...> format, T&&... args) {
  std::fputs(fmt::format(format, std::forward<T>(args)...).c_str(), stderr);
}

// What was asked for. False: it could not be written.
bool show(const std::string& text) {
  return std::fputs(text.c_str(), stdout) >= 0 && std::fflush(stdout) == 0;
}

// Descriptors 0 to 2 are somebody's, so that no socket becomes the standard output.
void open_standard_descriptors() {
  int opened = 0;
  do {
    opened = ::open("/dev/null", O_RDWR);
  } while (opened >= 0 && opened <= STDERR_FILENO);
  if (opened > STDERR_FILENO) ::close(opened);
}

// Returns an exit code if the program is done already (help, version, bad arguments).
std::optional<int> parse(int argc, char** argv, Arguments& arguments) {
  CLI::App app{"Spillway, an OpenAI-compatible LLM gateway"};
  app.set_version_flag("--version", std::string("spillway ") + SPILLWAY_VERSION);
  const auto add_sources = [&](CLI::App& command) {
    command.add_option("--config", arguments.config, "LiteLLM's config.yaml (JSON works too)");
    command.add_option("--providers", arguments.providers,
                       "a providers.json that adds to the built-in one");
    command.add_option("--listen", arguments.listen, "HOST:PORT")->default_str(kDefaultListen);
    command.add_option("--threads", arguments.threads, "worker threads; default: one per core")
        ->check(CLI::Range(0, 1024));
  };
  const auto add_serving = [&](CLI::App& command) {
    command
        .add_flag("--demo", arguments.demo,
                  "serve two built-in providers, one of which rate-limits")
        ->excludes(command.get_option("--config"));
    command.add_flag("--strict", arguments.strict, "refuse to start if a deployment is left out");
    command.add_flag("--generate-key", arguments.generate_key,
                     "make and print a key if none is configured");
    command.add_flag("--health-check", arguments.health_check,
                     "ask the gateway that listens there whether it is ready, and exit");
    command.add_flag("--core-dumps", arguments.core_dumps,
                     "let the system write core dumps, which hold every key");
    command.add_option("--log-level", arguments.log_level, "debug, info, warn or error")
        ->check(CLI::IsMember({"debug", "info", "warn", "error"}));
    command.add_option("--log-file", arguments.log_file,
                       "where the program's own log goes; default: the standard error");
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
    tell_operator(notice.severity == Severity::warning ? LogLevel::warn : LogLevel::error,
                  spillway::config::to_string(notice));
}

int check(const Arguments& arguments) {
  const auto reading =
      ConfigurationSource(sources_from(arguments)).read(ConfigurationSource::Logs::looked_at);
  print(reading.notices);
  if (!reading.config || !show(spillway::config::describe(*reading.config))) return 1;
  for (const std::string& shortcoming : reading.shortcomings) say("{}\n", shortcoming);
  return reading.fit() && server::all_usable(*reading.config) ? 0 : 1;
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
  if (!match) say("the model '{}' is not configured\n", arguments.model);
  const bool bad_outcome = !arguments.outcome.empty() && !if_asked;
  if (bad_outcome) say("{}\n", server::not_an_error_class(arguments.outcome));
  if (!match || bad_outcome) return 1;
  const auto explanation =
      spillway::explain(config, spillway::LocalFleet(config, std::random_device()()), *match, {},
                        if_asked, std::chrono::steady_clock::now());
  return show(server::explain_text(config, explanation)) ? 0 : 1;
}

bool is_given(const spillway::config::Environment& environment, std::string_view name) {
  const auto found = environment.find(name);
  return found != environment.end() && !found->second.empty();
}

bool is_master_key(const std::pair<const std::string, std::string>& variable) {
  return variable.first.ends_with("_MASTER_KEY") || variable.first.ends_with("_MASTER_KEY_FILE");
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

// Asks whoever listens where the arguments, else the configuration, say.
int health_check(const Arguments& arguments) {
  std::string listen = arguments.listen;
  auto encryption = server::Encryption::unknown;
  if (listen.empty() && !arguments.config.empty()) {
    const auto loaded = spillway::config::load(sources_from(arguments));
    if (!loaded) {
      print(loaded.error());
      return 1;
    }
    listen = fmt::format("{}:{}", server::bracketed(loaded->config.listen_host),
                         loaded->config.listen_port);
    if (loaded->config.tls) encryption = server::Encryption::tls;
  }
  if (listen.empty()) listen = kDefaultListen;
  const std::string problem = server::health_check(listen, encryption);
  if (!problem.empty()) say("{}: {}\n", listen, problem);
  return problem.empty() ? 0 : 1;
}

void show_log_level(const std::string& level) {
  if (level == "debug") server::set_log_level(LogLevel::debug);
  if (level == "warn") server::set_log_level(LogLevel::warn);
  if (level == "error") server::set_log_level(LogLevel::error);
}

// False: it cannot be opened, as was said.
bool opened(const std::string& problem, std::string_view setting) {
  if (!problem.empty()) tell_operator(LogLevel::error, fmt::format("{}: {}", setting, problem));
  return problem.empty();
}

int serve(const Arguments& arguments, ProgramCall call, Inheritance inherited) {
  // First of all, so that it holds whatever is wrong with the rest.
  const bool logs = opened(server::use_log_file(arguments.log_file), "--log-file");
  Sources sources = sources_from(arguments);
  std::string generated;
  const bool has_key = is_given(sources.environment, kMasterKeyVariable) ||
                       is_given(sources.environment, kMasterKeyFileVariable);
  // The demonstration costs nobody anything.
  if (arguments.demo && arguments.listen.empty()) std::erase_if(sources.environment, is_master_key);
  if (arguments.generate_key && !has_key) {
    const auto handed_over = sources.environment.extract(kGeneratedKeyVariable);
    generated = handed_over ? handed_over.mapped() : random_key();
    sources.environment[kMasterKeyVariable] = generated;
    call.environment.push_back(fmt::format("{}={}", kGeneratedKeyVariable, generated));
  }
  std::optional<server::Demo> demo;
  if (arguments.demo) demo.emplace();
  ConfigurationSource source(std::move(sources),
                             arguments.strict ? ConfigurationSource::LeftOut::refused
                                              : ConfigurationSource::LeftOut::tolerated,
                             generated);
  if (demo) source.read_only(demo->config_text(), "demo");
  auto reading = source.read(ConfigurationSource::Logs::looked_at);
  print(reading.notices);
  if (!reading.config) return 1;
  if (reading.generated_key_counts) server::tell_generated_key(generated);
  say("{}", spillway::config::describe(*reading.config));
  for (const std::string& shortcoming : reading.shortcomings)
    tell_operator(LogLevel::error, shortcoming);
  const spillway::NamedFile& access_log = reading.config->access_log.file;
  if (!reading.fit() || !logs ||
      !opened(server::use_access_log_file(access_log.path), access_log.setting))
    return 1;
  const bool encrypted = reading.config->tls.has_value();
  server::Gateway gateway(
      {std::move(source), std::move(reading), std::move(call), std::move(inherited)});
  const auto at = gateway.listen();
  if (!at) {
    tell_operator(LogLevel::error, at.error());
    return 1;
  }
  const std::string_view scheme = encrypted ? "https" : "http";
  const std::string admin =
      at->admin.empty() ? "" : fmt::format(", admin on {}://{}", scheme, at->admin);
  say("spillway {} listening on {}://{}{}\n", SPILLWAY_VERSION, scheme, at->clients, admin);
  return gateway.run();
}

// Memory holds keys and prompts: no core dump of it, and nobody else attaches to the process. The
// second call is what counts where dumps are piped to a program, which no limit holds off.
void keep_memory_private() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_CORE, &limit) == 0) {
    limit.rlim_cur = 0;
    ::setrlimit(RLIMIT_CORE, &limit);
  }
  ::prctl(PR_SET_DUMPABLE, 0);
}

// A large body's memory goes back to the system when the request is over. Left to itself, glibc
// takes the first large block that is freed as a sign to keep all of that size for the next.
void give_large_blocks_back() {
#ifdef __GLIBC__
  constexpr int kLargeBytes = 4 * 1024 * 1024;
  constexpr int kKeptBytes = 16 * 1024 * 1024;  // fresh pages cost half of what a 1 MiB body does
  ::mallopt(M_MMAP_THRESHOLD, kLargeBytes);
  ::mallopt(M_TRIM_THRESHOLD, kKeptBytes);
#endif
}

}  // namespace

int main(int argc, char** argv) {
  Inheritance inherited = server::take_inheritance();
  open_standard_descriptors();
  give_large_blocks_back();
  Arguments arguments;
  if (const auto done = parse(argc, argv, arguments)) return *done;
  if (!arguments.core_dumps) keep_memory_private();
  int code = 1;
  try {
    if (arguments.health_check) return health_check(arguments);
    if (arguments.check) return check(arguments);
    if (arguments.explain) return explain(arguments);
    show_log_level(arguments.log_level);
    code = serve(arguments, {{argv, argv + argc}, {}}, std::move(inherited));
  } catch (const std::exception& error) {
    tell_operator(LogLevel::error, fmt::format("spillway: {}", error.what()));
  }
  server::shut_down_logs();
  return code;
}
