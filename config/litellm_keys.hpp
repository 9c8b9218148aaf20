// The keys that LiteLLM's files may hold and Spillway does not act on, section by section.
//
// They exist so that a misspelt key is told apart from one that is merely not supported: the first
// is a fault, the second a warning. Keys that Spillway reads are not here; the code that reads them
// names them.
#pragma once

#include <span>
#include <string_view>

namespace spillway::config {

std::span<const std::string_view> unsupported_top_level();
std::span<const std::string_view> unsupported_litellm_settings();
std::span<const std::string_view> unsupported_router_settings();
std::span<const std::string_view> unsupported_general_settings();
std::span<const std::string_view> unsupported_litellm_params();
// Descriptions of a model that nothing has to react to.
std::span<const std::string_view> informational_model_info();
std::span<const std::string_view> unsupported_model_info();

// Request parameters of the OpenAI API and its common extensions: set per deployment without a
// warning.
std::span<const std::string_view> request_parameters();

// Prices: "input_cost_per_token" and its many relatives.
bool is_price(std::string_view key);

// Credentials and addresses of clouds that must never be sent to a provider as a body field.
bool is_private_param(std::string_view key);

}  // namespace spillway::config
