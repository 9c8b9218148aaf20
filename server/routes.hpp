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

// Whom something is for. Where there is no admin listener all connections are everybody's;
// otherwise each is a caller's or an operator's, by the listener that it came to.
enum class Audience : std::uint8_t { everybody, callers, operators };

struct Route {
  std::string_view path;  // without /v1
  bool post;              // else GET and HEAD
  Handler handler;
  Access access;
  Audience audience;
  Endpoint endpoint;  // for Handler::forward
  std::string_view allow() const { return post ? "POST, OPTIONS" : "GET, HEAD, OPTIONS"; }
};

namespace detail {
constexpr Route to_provider(Endpoint endpoint) {
  const std::string_view path = traits(endpoint).path;
  return {path, true, Handler::forward, Access::wants_key, Audience::callers, endpoint};
}
constexpr Route own(std::string_view path, Handler handler, Access access, Audience audience) {
  return {path, false, handler, access, audience, Endpoint::chat_completions};
}
constexpr Route list(std::string_view path, Handler handler) {
  return own(path, handler, Access::wants_key, Audience::callers);
}
// Orchestrators probe one listener or the other.
constexpr Route probe(std::string_view path, Handler handler) {
  return own(path, handler, Access::open, Audience::everybody);
}
constexpr Route admin(std::string_view path, Handler handler) {
  return own(path, handler, Access::wants_key, Audience::operators);
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
    detail::list("/models", Handler::models),
    detail::probe("/health/liveliness", Handler::liveness),
    detail::probe("/health/liveness", Handler::liveness),
    detail::probe("/health/readiness", Handler::readiness),
    detail::admin("/health", Handler::health),
    detail::admin("/metrics", Handler::metrics),
    detail::admin("/router/state", Handler::router_state),
    detail::admin("/router/explain", Handler::router_explain),
};
// A model's id may hold slashes, so it is what follows this prefix.
inline constexpr std::string_view kModelPrefix = "/models/";
inline constexpr Route kModelRoute = detail::list(kModelPrefix, Handler::model);

constexpr bool serves(Audience audience, const Route& route) {
  return audience == Audience::everybody || route.audience == Audience::everybody ||
         route.audience == audience;
}

// What `audience` finds at `path`; nullptr: nothing. Compared byte for byte, so that what is
// authenticated is what is routed.
constexpr const Route* find_route(std::string_view path, Audience audience) {
  if (path.starts_with("/v1/") && audience != Audience::operators) path.remove_prefix(3);
  for (const Route& route : kRoutes)
    if (route.path == path) return serves(audience, route) ? &route : nullptr;
  const bool model = path.starts_with(kModelPrefix) && path.size() > kModelPrefix.size();
  return model && serves(audience, kModelRoute) ? &kModelRoute : nullptr;
}

}  // namespace spillway::server
