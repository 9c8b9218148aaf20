#include "server/routes.hpp"

#include <catch2/catch_test_macros.hpp>
#include <string>

#include "server/listening_socket.hpp"

using spillway::server::Audience;
using spillway::server::find_route;
using spillway::server::kRoutes;
using spillway::server::NamedSocket;
using spillway::server::take_socket;

TEST_CASE("Without an admin listener everything is everybody's, with and without /v1") {
  for (const auto& route : kRoutes) {
    CHECK(find_route(route.path, Audience::everybody) == &route);
    CHECK(find_route("/v1" + std::string(route.path), Audience::everybody) == &route);
  }
}

TEST_CASE("Callers find models and probes, and no page for operators") {
  for (const char* path : {"/v1/chat/completions", "/models", "/v1/models/a", "/health/liveliness",
                           "/health/readiness", "/v1/health/readiness"})
    CHECK(find_route(path, Audience::callers));
  for (const char* path :
       {"/metrics", "/v1/metrics", "/health", "/router/state", "/router/explain"})
    CHECK(!find_route(path, Audience::callers));
}

TEST_CASE("Operators find their pages and probes, and nothing below /v1") {
  for (const char* path : {"/metrics", "/health", "/router/state", "/router/explain",
                           "/health/liveness", "/health/readiness"}) {
    CHECK(find_route(path, Audience::operators));
    CHECK(!find_route("/v1" + std::string(path), Audience::operators));
  }
  for (const char* path : {"/v1/chat/completions", "/chat/completions", "/models", "/models/a"})
    CHECK(!find_route(path, Audience::operators));
}

TEST_CASE("Of the sockets handed over, the one called admin is the admin listener's") {
  std::vector<NamedSocket> sockets{{3, "admin"}, {4, "http"}, {5, ""}};
  CHECK(take_socket(sockets, Audience::callers) == 4);
  CHECK(take_socket(sockets, Audience::operators) == 3);
  CHECK(take_socket(sockets, Audience::operators) == -1);
  CHECK(take_socket(sockets, Audience::everybody) == 5);
  CHECK(sockets.empty());
}
