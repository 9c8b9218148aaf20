// The provider registry: LiteLLM's providers.json, read as it is, plus a few keys of our own.
//
// A file is one JSON object; every key is a provider's slug (the part of "groq/llama-3" before the
// slash), every value:
//
//   base_url             (required) the API base, e.g. "https://api.groq.com/openai/v1". May hold
//   {name} placeholders
//                        that `base_url_params` explains; "" when every user has their own (then
//                        api_base is needed)
//   api_key_env          (required) the environment variable with the key, or a list of them; "" if
//   there is none api_base_env         the environment variable (or list) that replaces base_url
//   param_mappings       {"max_completion_tokens": "max_tokens"}: request parameters renamed
//   constraints          temperature_max, temperature_min, temperature_min_with_n_gt_1
//   special_handling     convert_content_list_to_string, force_store_false
//   headers              sent with every request; {api_key} in a value is replaced by the key
//   supported_endpoints  ["/v1/chat/completions", ...]; empty or absent: all. Chat is always on
//   base_class, extra_supported_params   accepted; they make no difference here, since nothing is
//   filtered
//
// Spillway's own:
//
//   assistant_prefill    true if the provider continues an assistant message at the end of
//   `messages` unsupported_params   parameters that `drop_params` removes api_key_required false if
//   it works without a key (default true) auth                 "bearer" (default): the key goes
//   into `authorization`; "none": only `headers` carry it url_style            "openai" (default)
//   or "azure": deployments URL with an api_version, /openai/v1 without api_version_env      the
//   environment variable for the api_version of the azure style api_base_path        path used when
//   an api_base names only a host ("/v1" for Ollama) base_url_params      {"region":
//   ["AWS_REGION"]}: a placeholder's value is the litellm_params key of that name,
//                        else the first of these environment variables that is set
//   note                 added to the reason when its key is missing
//   left_out             why it cannot be used at all; its deployments are listed with this reason
//
// A key that is none of these is a warning. Anything else that is wrong is a fault with its line: a
// bad file never becomes an empty registry. A user's file adds entries and replaces whole entries.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/section.hpp"
#include "core/endpoint.hpp"

namespace spillway::config {

enum class Auth : std::uint8_t { bearer, none };
enum class UrlStyle : std::uint8_t { openai, azure };

struct Provider {
  std::string slug;
  std::string base_url;
  std::vector<std::string> api_key_env;
  std::vector<std::string> api_base_env;
  std::vector<std::pair<std::string, std::string>> param_mappings;
  std::optional<double> temperature_max, temperature_min, temperature_min_with_n_gt_1;
  bool content_list_to_string = false;
  bool force_store_false = false;
  std::vector<std::pair<std::string, std::string>> headers;  // {api_key} still in the values
  std::array<bool, kEndpointCount> endpoints{};
  bool assistant_prefill = false;
  std::vector<std::string> unsupported_params;
  bool api_key_required = true;
  Auth auth = Auth::bearer;
  UrlStyle url_style = UrlStyle::openai;
  std::vector<std::string> api_version_env;
  std::string api_base_path;
  std::map<std::string, std::vector<std::string>, std::less<>> base_url_params;
  std::string note;
  std::string left_out;
};

using Registry = std::map<std::string, Provider, std::less<>>;

// The shipped providers.json; its text is generated into the program by embed.cmake.
std::string_view embedded_providers();

// Adds the entries of a providers.json to `registry`; every fault is reported.
void read_providers(std::string_view text, std::string_view file, Context& context,
                    Registry& registry);

}  // namespace spillway::config
