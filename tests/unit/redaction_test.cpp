#include "core/redaction.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace spillway;

namespace {

Deployment with(std::string name, std::string value) {
  Deployment deployment;
  deployment.headers.push_back({.name = std::move(name), .value = Secret(std::move(value))});
  return deployment;
}

Failure saying(const std::string& text) {
  Failure failure;
  failure.message = failure.code = failure.param = failure.type = failure.detail = text;
  return failure;
}

}  // namespace

TEST_CASE("A deployment's credential is in nothing that a failure says") {
  Failure failure = saying("bad key: Bearer sk-secret-1, sk-secret-1");
  redact(failure, with("authorization", "Bearer sk-secret-1"));
  for (const std::string& text :
       {failure.message, failure.code, failure.param, failure.type, failure.detail})
    CHECK(text == "bad key: Bearer [redacted], [redacted]");
}

TEST_CASE("A credential of a header of its own is taken out as well") {
  Failure failure = saying("x-api-key: sk-secret-1 is wrong");
  redact(failure, with("x-api-key", "sk-secret-1"));
  CHECK(failure.message == "x-api-key: [redacted] is wrong");
}

TEST_CASE("A credential that was cut is taken out as well") {
  Failure failure = saying("bad key: sk-secr");
  redact(failure, with("authorization", "Bearer sk-secret-1"));
  CHECK(failure.message == "bad key: [redacted]");
}

TEST_CASE("What is no secret stays") {
  Failure failure = saying("the version 2023-06-01 has no beta on");
  redact(failure, with("anthropic-version", "2023-06-01"));
  redact(failure, with("x-mode", "on"));
  redact(failure, with("x-empty", ""));
  CHECK(failure.message == "the version 2023-06-01 has no beta on");
}

TEST_CASE("A credential that the words instead of it hold does not repeat for ever") {
  Failure failure = saying("redacted");
  redact(failure, with("x-api-key", "redacted"));
  CHECK(failure.message == "[redacted]");
}
