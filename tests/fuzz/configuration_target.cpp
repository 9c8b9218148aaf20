// A configuration, YAML or JSON: loading it answers with a value that holds together or with faults
// at their places, the same each time.
#include "loaded_config.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace spillway;
  const std::string_view text = fuzz::as_text(data, size);
  // Other files are not part of the input.
  if (text.find("include") != std::string_view::npos) return 0;
  config::Sources sources;
  sources.environment = {{"KEY", "environment-value"}, {"OPENAI_API_KEY", "sk-openai"}};
  const auto loaded = config::load_text(text, "config.yaml", sources);
  const auto again = config::load_text(text, "config.yaml", sources);
  fuzz::expect(loaded.has_value() == again.has_value(), "the same verdict each time");
  if (!loaded) {
    fuzz::expect(!loaded.error().empty(), "a refusal says why");
    fuzz::expect(loaded.error() == again.error(), "and the same each time");
    fuzz::check_notices(loaded.error(), text);
    return 0;
  }
  fuzz::check_notices(loaded->warnings, text);
  fuzz::check_config(loaded->config);
  fuzz::expect(config::describe(loaded->config) == config::describe(again->config), "as described");
  return 0;
}
