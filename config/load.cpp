#include "config/load.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <system_error>
#include <utility>

#include "config/client_keys.hpp"
#include "config/document.hpp"
#include "config/fallbacks.hpp"
#include "config/listen.hpp"
#include "config/litellm_keys.hpp"
#include "config/model_groups.hpp"
#include "config/providers.hpp"
#include "config/proxy_settings.hpp"
#include "config/retry_policy.hpp"
#include "config/router_settings.hpp"
#include "config/section.hpp"
#include "config/spillway_section.hpp"
#include "config/suggest.hpp"
#include "core/body.hpp"

namespace spillway::config {

namespace {

namespace fs = std::filesystem;

constexpr auto kSections = std::to_array<std::string_view>(
    {"model_list", "router_settings", "litellm_settings", "general_settings",
     "environment_variables", "include", "spillway"});

class Loader {
 public:
  explicit Loader(const Sources& sources)
      : sources_(sources),
        context_{.report = report_, .variables = Variables(sources.environment, report_)} {}

  std::expected<Loaded, std::vector<Notice>> load_file() {
    if (!sources_.config_file) {
      Node empty;
      empty.kind = NodeKind::map;
      read_registry({});
      return build(empty);
    }
    const fs::path& path = *sources_.config_file;
    report_.depends_on(path);
    auto text = read_text(path);
    // Far more often one that is being written, or was lost, than one that is meant to be so.
    if (text && text->empty()) text = std::unexpected("is empty");
    if (!text) {
      report_.fault({.file = report_.add_file(path.string())}, "", text.error());
      return std::unexpected(report_.take_faults());
    }
    return from_text(*text, path.string(), path.parent_path());
  }

  std::expected<Loaded, std::vector<Notice>> from_text(std::string_view text, std::string_view name,
                                                       const fs::path& directory) {
    const auto root = read_document(text, name, directory, report_);
    read_registry(directory);
    if (!root) return std::unexpected(report_.take_faults());
    return build(*root);
  }

  std::vector<fs::path> take_files() { return report_.take_files(); }

 private:
  // The shipped providers, then the file named on the command line or beside the configuration.
  void read_registry(const fs::path& directory) {
    read_providers(embedded_providers(), "providers.json (built in)", context_, registry_);
    std::error_code ignored;
    fs::path file = sources_.providers_file.value_or(fs::path{});
    if (!sources_.providers_file) {
      if (!sources_.config_file) return;
      file = directory / "providers.json";
      report_.depends_on(file);
      if (!fs::exists(file, ignored)) return;
    }
    if (sources_.providers_file) report_.depends_on(file);
    if (const auto text = read_text(file)) {
      read_providers(*text, file.string(), context_, registry_);
    } else {
      report_.fault({.file = report_.add_file(file.string())}, "", text.error());
    }
  }

  std::expected<Loaded, std::vector<Notice>> build(const Node& root) {
    Config config;
    check_sections(root);
    read_environment_variables(root);
    const RouterDefaults defaults = read_router_settings(root, context_);
    config.router = defaults.router;
    config.redis = defaults.redis;
    read_general_settings(root, context_, config.keys);
    read_spillway_section(root, context_, config);
    add_environment_keys(context_, config.keys);
    config.proxy = read_proxies(context_);
    read_models(root, defaults, config);
    apply_command_line(config);
    require_key(root, config);
    if (report_.has_faults()) return std::unexpected(report_.take_faults());
    return Loaded{.config = std::move(config), .warnings = report_.take_warnings()};
  }

  void check_sections(const Node& root) {
    std::vector<std::string_view> known(kSections.begin(), kSections.end());
    const auto unsupported = unsupported_top_level();
    known.insert(known.end(), unsupported.begin(), unsupported.end());
    for (const Member& member : root.members) {
      if (member.key.starts_with("x-")) continue;  // a place for YAML anchors, as in compose files
      if (std::find(unsupported.begin(), unsupported.end(), member.key) != unsupported.end()) {
        report_.warn(member.place, member.key, "is not supported yet and has no effect");
      } else if (std::find(kSections.begin(), kSections.end(), member.key) == kSections.end()) {
        report_.fault(member.place, member.key,
                      "unknown section" + did_you_mean(member.key, known));
      }
    }
  }

  // As in LiteLLM these win over what the process was started with; references among them see only
  // that.
  void read_environment_variables(const Node& root) {
    Section section(root.find("environment_variables"), context_);
    Environment values;
    const Node* node = root.find("environment_variables");
    if (node == nullptr || node->kind != NodeKind::map) return;
    for (const Member& member : node->members) {
      if (const auto value = section.free_text(member.key)) values[member.key] = *value;
    }
    for (auto& [name, value] : values) context_.variables.set(name, std::move(value));
  }

  void read_models(const Node& root, const RouterDefaults& defaults, Config& config) {
    ModelGroups groups(config, context_);
    read_model_list(root, registry_, defaults, context_, groups);
    groups.order_wildcards();
    read_aliases(defaults, groups, context_, config);
    read_fallbacks(defaults, registry_, groups, context_, config);
    groups.set_weights();
    read_retry_policies(defaults, context_, config);
    config.read_keys = read_keys(config);
  }

  static ReadKeys read_keys(const Config& config) {
    std::vector<std::string> keys;
    for (const std::string_view key : core_read_keys()) keys.push_back(fold(key));
    for (const Deployment& deployment : config.deployments) {
      const BodyRules& rules = deployment.body;
      for (const auto& [from, to] : rules.rename) keys.insert(keys.end(), {fold(from), fold(to)});
      for (const auto& [key, json] : rules.defaults) keys.push_back(fold(key));
      for (const auto& [key, json] : rules.force) keys.push_back(fold(key));
      for (const std::string& key : rules.drop) keys.push_back(fold(key));
    }
    return keys;
  }

  void apply_command_line(Config& config) {
    if (sources_.threads) config.threads = *sources_.threads;
    if (!sources_.listen) return;
    const auto address = parse_listen(*sources_.listen);
    if (!address) {
      return report_.fault({}, "--listen",
                           "must be HOST:PORT, such as 127.0.0.1:4000 or [::1]:4000");
    }
    config.listen_host = address->host;
    config.listen_port = address->port;
  }

  void require_key(const Node& root, const Config& config) {
    if (!config.keys.empty()) return;
    const Node* section = root.find("spillway");
    const Node* listen = section == nullptr || sources_.listen ? nullptr : section->find("listen");
    if (!is_loopback(config.listen_host))
      demand_key(listen, config.listen_host, "let anyone spend yours");
    if (config.admin && !is_loopback(config.admin->listen_host))
      demand_key(section->find("admin")->find("listen"), config.admin->listen_host,
                 "show anyone what your models do");
  }

  // `listen` is where the address stands; nullptr: on the command line.
  void demand_key(const Node* listen, const std::string& host, std::string_view otherwise) {
    report_.fault(
        listen == nullptr ? Place{} : listen->place, listen == nullptr ? "--listen" : listen->path,
        fmt::format("listening on {} without a key would {}; set SPILLWAY_MASTER_KEY, "
                    "general_settings.master_key or spillway.keys, or listen on 127.0.0.1",
                    host, otherwise));
  }

  const Sources& sources_;
  Report report_;
  Context context_;
  Registry registry_;
};

}  // namespace

std::expected<Loaded, std::vector<Notice>> load(const Sources& sources,
                                                std::vector<fs::path>* files) {
  Loader loader(sources);
  auto outcome = loader.load_file();
  if (files == nullptr) return outcome;
  *files = loader.take_files();
  if (!outcome) return outcome;
  for (const Deployment& deployment : outcome->config.deployments) {
    const fs::path ca_file = deployment.origin.ca_file;
    if (!ca_file.empty() && std::ranges::find(*files, ca_file) == files->end())
      files->push_back(ca_file);
  }
  return outcome;
}

std::expected<Loaded, std::vector<Notice>> load_text(std::string_view yaml, std::string_view file,
                                                     const Sources& sources) {
  const fs::path directory =
      sources.config_file ? sources.config_file->parent_path() : fs::path(".");
  return Loader(sources).from_text(yaml, file, directory);
}

}  // namespace spillway::config
