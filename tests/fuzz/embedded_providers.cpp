// A few providers in place of the shipped ones, which take longer to read than any input.
#include "config/providers.hpp"

namespace spillway::config {

std::string_view embedded_providers() {
  return R"({
    "openai": {"base_url": "https://api.openai.com/v1", "api_key_env": "OPENAI_API_KEY"},
    "groq": {"base_url": "https://api.groq.com/openai/v1", "api_key_env": "GROQ_API_KEY"},
    "azure": {"base_url": "", "api_key_env": "AZURE_API_KEY", "url_style": "azure",
              "api_version_env": "AZURE_API_VERSION"},
    "anthropic": {"base_url": "", "api_key_env": "ANTHROPIC_API_KEY", "left_out": "no endpoint"}
  })";
}

}  // namespace spillway::config
