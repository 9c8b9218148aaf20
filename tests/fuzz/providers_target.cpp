// A providers.json: the same verdict each time, and whatever an accepted one says of URLs, headers
// and names, a configuration that uses its providers leads to well-formed heads.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "config/providers.hpp"
#include "loaded_config.hpp"

namespace spillway {
namespace {

using fuzz::expect;

// A file that is only in memory.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view text) : file_(memfd_create("providers.json", 0)) {
    expect(write(file_, text.data(), text.size()) == static_cast<ssize_t>(text.size()), "memory");
  }
  ~MemoryFile() { close(file_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  std::string path() const { return "/proc/self/fd/" + std::to_string(file_); }

 private:
  int file_;
};

// nullopt: refused.
std::optional<config::Registry> read(std::string_view text, std::vector<config::Notice>& notices) {
  config::Report report;
  config::Context context{report, config::Variables({}, report)};
  config::Registry registry;
  config::read_providers(text, "providers.json", context, registry);
  const bool refused = report.has_faults();
  notices = refused ? report.take_faults() : report.take_warnings();
  if (refused) return std::nullopt;
  return registry;
}

// A configuration with a deployment of every provider.
std::string configuration_of(const config::Registry& registry) {
  nlohmann::json models = nlohmann::json::array();
  for (const auto& [slug, provider] : registry)
    models.push_back({{"model_name", "m"},
                      {"litellm_params", {{"model", slug + "/some-model"}, {"api_key", "key"}}}});
  return nlohmann::json{{"model_list", models}}.dump();
}

}  // namespace
}  // namespace spillway

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace spillway;
  const std::string_view text = fuzz::as_text(data, size);
  std::vector<config::Notice> notices, again;
  const auto registry = read(text, notices);
  expect(registry.has_value() == read(text, again).has_value() && notices == again, "the same");
  expect(registry.has_value() || !notices.empty(), "a refusal says why");
  fuzz::check_notices(notices, text);
  if (!registry || registry->empty()) return 0;
  const MemoryFile file(text);
  config::Sources sources;
  sources.providers_file = file.path();
  const auto loaded = config::load_text(configuration_of(*registry), "config.json", sources);
  if (loaded) fuzz::check_config(loaded->config);
  return 0;
}
