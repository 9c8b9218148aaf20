// Every path the gateway answers, in one table.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/endpoint.hpp"

namespace spillway::server {

enum class Handler : std::uint8_t {
  forward,  // to a provider: the request's `endpoint` says as what
  models,
  model,  // /v1/models/{id}
  liveness,
  readiness,
  health,
  metrics,
  router_state,
  router_explain,
};

enum class Access : std::uint8_t { open, wants_key };

struct Route {
  std::string_view path;  // without /v1
  bool post;              // else GET and HEAD
  Handler handler;
  Access access;
  Endpoint endpoint;  // for Handler::forward
  std::string_view allow() const { return post ? "POST, OPTIONS" : "GET, HEAD, OPTIONS"; }
};

namespace detail {
constexpr Route to_provider(Endpoint endpoint) {
  return {traits(endpoint).path, true, Handler::forward, Access::wants_key, endpoint};
}
constexpr Route own(std::string_view path, Handler handler, Access access) {
  return {path, false, handler, access, Endpoint::chat_completions};
}
}  // namespace detail

inline constexpr std::array kRoutes{
    detail::to_provider(Endpoint::chat_completions),
    detail::to_provider(Endpoint::completions),
    detail::to_provider(Endpoint::embeddings),
    detail::to_provider(Endpoint::responses),
    detail::to_provider(Endpoint::moderations),
    detail::to_provider(Endpoint::images_generations),
    detail::to_provider(Endpoint::audio_speech),
    detail::to_provider(Endpoint::rerank),
    detail::own("/models", Handler::models, Access::wants_key),
    detail::own("/health/liveliness", Handler::liveness, Access::open),
    detail::own("/health/liveness", Handler::liveness, Access::open),
    detail::own("/health/readiness", Handler::readiness, Access::open),
    detail::own("/health", Handler::health, Access::wants_key),
    detail::own("/metrics", Handler::metrics, Access::wants_key),
    detail::own("/router/state", Handler::router_state, Access::wants_key),
    detail::own("/router/explain", Handler::router_explain, Access::wants_key),
};
// A model's id may hold slashes, so it is what follows this prefix.
inline constexpr std::string_view kModelPrefix = "/models/";
inline constexpr Route kModelRoute = detail::own(kModelPrefix, Handler::model, Access::wants_key);

// nullptr: no such path. Compared byte for byte, so that what is authenticated is what is routed.
constexpr const Route* find_route(std::string_view path) {
  if (path.starts_with("/v1/")) path.remove_prefix(3);
  for (const Route& route : kRoutes)
    if (route.path == path) return &route;
  if (path.starts_with(kModelPrefix) && path.size() > kModelPrefix.size()) return &kModelRoute;
  return nullptr;
}

}  // namespace spillway::server
