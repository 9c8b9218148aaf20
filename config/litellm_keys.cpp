#include "config/litellm_keys.hpp"

#include <algorithm>
#include <array>

namespace spillway::config {

namespace {

// clang-format off
constexpr auto kTopLevel = std::to_array<std::string_view>({
    "credential_list", "callback_settings", "guardrails", "mcp_servers", "mcp_tools", "mcp_aliases",
    "search_tools", "vector_store_registry", "files_settings", "finetune_settings",
    "assistant_settings", "batch_settings", "prompts", "policies", "policy_attachments",
    "agent_list", "default_team_settings", "worker_config", "model_group_settings",
    "pass_through_endpoints", "custom_provider_map", "skills", "search_settings",
    "health_check_settings"});

constexpr auto kLitellm = std::to_array<std::string_view>({
    "success_callback", "failure_callback", "callbacks", "service_callback", "service_callbacks",
    "input_callback", "audit_log_callbacks", "turn_off_message_logging", "modify_params",
    "enable_preview_features", "redact_user_api_key_info", "langfuse_default_tags", "set_verbose",
    "json_logs", "force_ipv4", "cache", "cache_params", "caching", "caching_with_models",
    "ssl_security_level", "ssl_certificate", "ssl_ecdh_curve", "disable_end_user_cost_tracking",
    "disable_end_user_cost_tracking_prometheus_only",
    "enable_end_user_cost_tracking_prometheus_only", "key_generation_settings",
    "disable_add_transform_inline_image_block", "disable_hf_tokenizer_download",
    "enable_json_schema_validation", "guardrails", "disable_copilot_system_to_assistant",
    "default_team_settings", "default_team_params", "default_internal_user_params",
    "upperbound_key_generate_params", "default_key_generate_params", "telemetry", "max_budget",
    "budget_duration", "max_user_budget", "max_end_user_budget", "max_internal_user_budget",
    "internal_user_budget_duration", "default_max_internal_user_budget",
    "default_internal_user_budget_duration", "enable_redis_auth_cache",
    "expose_router_debug_in_errors", "network_mock", "cost_discount_config", "cost_margin_config",
    "default_redis_ttl", "default_in_memory_ttl", "default_redis_batch_cache_expiry",
    "default_redis_ttl_seconds", "model_alias_map", "custom_provider_map", "store_audit_logs",
    "forward_traceparent_to_llm_provider", "require_auth_for_metrics_endpoint",
    "prometheus_metrics_config", "custom_prometheus_metadata_labels", "custom_prometheus_tags",
    "prometheus_initialize_budget_metrics", "prometheus_latency_buckets", "s3_callback_params",
    "gcs_callback_params", "datadog_params", "datadog_llm_observability_params",
    "generic_logger_headers", "generic_api_use_v1", "public_model_groups",
    "public_model_groups_links", "public_mcp_servers", "public_agent_groups",
    "extra_spend_tag_headers", "priority_reservation", "priority_reservation_settings",
    "suppress_debug_info", "add_function_to_prompt", "blocked_user_list", "banned_keywords_list",
    "llm_guard_mode", "google_moderation_confidence_threshold", "aiohttp_trust_env",
    "disable_aiohttp_transport", "use_aiohttp_transport", "check_provider_endpoint",
    "disable_streaming_logging", "disable_token_counter", "tag_budget_config", "mcp_aliases",
    "mcp_semantic_tool_filter", "langsmith_default_run_name", "langsmith_batch_size",
    "argilla_transformation_object", "argilla_batch_size", "presidio_ad_hoc_recognizers",
    "output_parse_pii", "dynamic_rate_limiter_settings",
    "use_chat_completions_url_for_anthropic_messages", "default_fallback_model", "retry",
    "user_url_validation", "return_response_headers", "include_cost_in_streaming_usage",
    "enable_caching_on_provider_specific_optional_params", "image_generation_model",
    "vector_store_integrations", "always_include_stream_usage", "api_base", "api_key",
    "organization", "api_version", "headers", "drop_unsupported_params", "reasoning_auto_summary",
    "responses_api_bridge", "global_prompt_directory", "global_disable_no_log_param",
    "secret_manager", "request_correlation_id", "model_cost_map_url", "credential_list",
    "cost_tracking_settings", "redis_url", "anthropic_key", "openai_key", "azure_key", "cohere_key",
    "groq_key", "use_client", "token", "email"});

constexpr auto kRouter = std::to_array<std::string_view>({
    "routing_groups", "enable_weighted_failover",
    "model_group_affinity_config", "default_priority",
    "polling_interval", "client_ttl", "caching_groups", "cache_responses",
    "cache_kwargs", "provider_budget_config", "alerting_config", "ignore_invalid_deployments",
    "set_verbose", "debug_level", "router_general_settings", "enable_health_check_routing",
    "health_check_staleness_threshold", "health_check_ignore_transient_errors", "assistants_config",
    "search_tools", "guardrail_list", "model_list", "content_policy_retries", "fastest_response",
    "mock_testing_fallbacks", "semantic_router", "auto_router_config", "health_check_interval",
    "tag_budget_config", "model_names", "budget_config"});

constexpr auto kGeneral = std::to_array<std::string_view>({
    "database_url", "database_connection_pool_limit", "database_connection_timeout",
    "database_type", "database_args", "allow_requests_on_db_unavailable", "store_model_in_db",
    "store_prompts_in_spend_logs", "supported_db_objects", "litellm_key_header_name", "custom_auth",
    "custom_auth_settings", "custom_auth_run_common_checks", "enable_jwt_auth", "litellm_jwtauth",
    "enable_oauth2_auth", "enable_oauth2_proxy_auth", "oauth2_config_mappings",
    "max_parallel_requests", "global_max_parallel_requests", "max_request_size_mb",
    "max_response_size_mb", "allowed_ips", "allowed_routes", "public_routes", "admin_only_routes",
    "pass_through_endpoints", "forward_client_headers_to_llm_api", "forward_openai_org_id",
    "forward_llm_provider_auth_headers", "background_health_checks", "health_check_interval",
    "health_check_concurrency", "enable_health_check_routing", "use_shared_health_check",
    "health_check_details", "health_check_staleness_threshold",
    "health_check_ignore_transient_errors", "enforce_user_param", "reject_clientside_metadata_tags",
    "completion_model", "image_generation_model", "embedding_model", "moderation_model",
    "disable_spend_logs", "disable_spend_updates", "disable_error_logs",
    "disable_master_key_return", "disable_reset_budget",
    "disable_retry_on_max_parallel_request_limit_error", "disable_adding_master_key_hash_to_db",
    "disable_budget_reservation", "disable_llm_api_endpoints", "disable_admin_endpoints",
    "disable_admin_ui", "proxy_batch_write_at", "proxy_batch_polling_interval",
    "proxy_budget_rescheduler_min_time", "proxy_budget_rescheduler_max_time",
    "user_api_key_cache_ttl", "allow_client_side_credentials", "cancel_on_disconnect",
    "include_call_id_in_error_body", "always_include_stream_usage", "alerting",
    "alerting_threshold", "alerting_args", "alert_types", "alert_to_webhook_url",
    "spend_report_frequency", "slack_alerting", "use_x_forwarded_for", "key_management_system",
    "key_management_settings", "infer_model_from_keys", "ui_access_mode", "custom_key_generate",
    "custom_key_update", "custom_sso", "custom_ui_sso_sign_in_handler", "litellm_license",
    "use_client_credentials_pass_through_routes", "maximum_spend_logs_retention_period",
    "maximum_spend_logs_retention_interval", "maximum_spend_logs_cleanup_cron",
    "service_account_settings", "use_azure_key_vault", "use_google_kms", "load_google_kms",
    "user_header_name", "user_header_mappings", "token_rate_limit_type", "enable_public_model_hub",
    "role_permissions", "role_mappings", "user_mcp_management_mode",
    "mcp_client_side_auth_header_name", "mcp_internal_ip_ranges", "mcp_trusted_proxy_ranges",
    "control_plane_url", "pass_through_request_timeout", "require_end_user_mcp_access_defined",
    "search_tools", "use_redis_transaction_buffer", "redis_transaction_buffer_settings",
    "auto_redirect_ui_login_to_sso", "emails", "smtp", "otel", "otel_exporter", "dynamodb",
    "reject_metadata_tags", "credential_list", "coordination_redis", "enable_mcp_registry",
    "server_root_path", "custom_prompt_dir", "initialize_on_startup", "health_check_model",
    "telemetry"});

constexpr auto kParams = std::to_array<std::string_view>({
    "max_retries", "mock_response", "mock_timeout", "mock_tool_calls", "silent_model", "fallbacks",
    "context_window_fallbacks", "content_policy_fallbacks", "max_budget", "budget_duration",
    "use_in_pass_through", "configurable_clientside_auth_params", "supports_system_message",
    "merge_reasoning_content_in_choices", "rust", "litellm_credential_name", "region_name",
    "base_model", "use_litellm_proxy", "use_chat_completions_api", "litellm_trace_id",
    "allowed_openai_params", "model_config", "modify_params", "auto_router_config_path",
    "auto_router_config", "auto_router_default_model", "auto_router_embedding_model",
    "complexity_router_config", "complexity_router_default_model", "vector_store_ids", "caching",
    "cache", "guardrails", "prompt_id", "prompt_variables", "model_info", "azure_ad_token",
    "tenant_id", "client_id", "client_secret", "azure_username", "azure_password", "azure_scope",
    "project_id", "hf_model_name", "input_type", "custom_prompt_dict", "roles",
    "initial_prompt_value", "final_prompt_value", "bos_token", "eos_token", "litellm_system_prompt",
    "disable_fallbacks", "retry_policy", "ttft_timeout", "stream_idle_timeout", "cooldown_policy",
    "metadata", "no-log", "cost_per_query", "use_xai_oauth", "budget_config",
    "cache_control_injection_points"});

constexpr auto kModelInfoSilent = std::to_array<std::string_view>({
    "mode", "base_model", "description", "display_name", "name", "max_tokens", "max_output_tokens",
    "key", "db_model", "litellm_provider", "created_at", "created_by", "updated_at", "updated_by",
    "metadata", "tier", "deprecation_date", "output_vector_size", "supported_openai_params",
    "supported_endpoints", "supported_modalities", "supported_output_modalities",
    "supported_regions", "custom_tokenizer", "source", "owner", "version", "notes", "weight_class",
    "context_window", "provider"});

constexpr auto kModelInfoUnsupported = std::to_array<std::string_view>({
    "supported_environments", "team_id", "team_public_model_name", "access_groups",
    "health_check_model", "health_check_timeout", "health_check_max_tokens",
    "health_check_max_tokens_reasoning", "health_check_max_tokens_non_reasoning",
    "health_check_voice", "disable_background_health_check"});

constexpr auto kRequest = std::to_array<std::string_view>({
    "temperature", "max_tokens", "max_completion_tokens", "top_p", "top_k", "min_p", "n", "stop",
    "seed", "user", "presence_penalty", "frequency_penalty", "repetition_penalty",
    "response_format", "tools", "tool_choice", "functions", "function_call", "parallel_tool_calls",
    "logprobs", "top_logprobs", "logit_bias", "reasoning_effort", "reasoning", "thinking",
    "service_tier", "store", "modalities", "audio", "prediction", "verbosity", "prompt_cache_key",
    "prompt_cache_retention", "safety_identifier", "web_search_options", "dimensions",
    "encoding_format", "stream_options", "voice", "speed", "size", "quality", "style", "background",
    "moderation", "output_format", "output_compression", "instructions", "max_output_tokens",
    "truncation", "include", "text", "best_of", "echo", "suffix", "top_n", "return_documents",
    "max_chunks_per_doc", "provider", "transforms", "models", "route", "plugins",
    "chat_template_kwargs", "guided_json", "guided_regex", "guided_choice", "guided_grammar",
    "stop_token_ids", "min_tokens", "ignore_eos", "skip_special_tokens", "num_ctx", "keep_alive",
    "enable_thinking", "thinking_budget", "safe_prompt", "random_seed", "search_parameters",
    "extra_body", "prompt_truncation", "disable_search", "search_mode", "safety_settings",
    "max_tool_calls", "format", "think"});
// clang-format on

bool contains(std::string_view key, std::string_view part) {
  return key.find(part) != std::string_view::npos;
}

}  // namespace

std::span<const std::string_view> unsupported_top_level() {
  return kTopLevel;
}
std::span<const std::string_view> unsupported_litellm_settings() {
  return kLitellm;
}
std::span<const std::string_view> unsupported_router_settings() {
  return kRouter;
}
std::span<const std::string_view> unsupported_general_settings() {
  return kGeneral;
}
std::span<const std::string_view> unsupported_litellm_params() {
  return kParams;
}
std::span<const std::string_view> informational_model_info() {
  return kModelInfoSilent;
}
std::span<const std::string_view> unsupported_model_info() {
  return kModelInfoUnsupported;
}
std::span<const std::string_view> request_parameters() {
  return kRequest;
}

bool is_price(std::string_view key) {
  return contains(key, "cost_per_") || key.ends_with("_cost") || key.ends_with("_multiplier");
}

bool is_private_param(std::string_view key) {
  constexpr auto kPrefixes =
      std::to_array<std::string_view>({"aws_", "vertex_", "watsonx_", "s3_", "gcs_", "oci_", "sap_",
                                       "azure_", "gigachat_", "litellm_"});
  constexpr auto kSuffixes = std::to_array<std::string_view>(
      {"_key", "_secret", "_password", "_token", "_credentials", "_key_id", "_secret_name"});
  return std::any_of(kPrefixes.begin(), kPrefixes.end(),
                     [&](auto p) { return key.starts_with(p); }) ||
         std::any_of(kSuffixes.begin(), kSuffixes.end(),
                     [&](auto s) { return key.ends_with(s); }) ||
         key == "password" || key == "secret" || key == "credentials";
}

}  // namespace spillway::config
