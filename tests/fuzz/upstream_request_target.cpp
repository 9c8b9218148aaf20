// From a client's head to the one that goes to a provider: whatever gets past the head check, the
// result is one well-formed head with fields of the allow-list only.
//
// The input is a client's head; its target is taken for the model's name as well.
#include <set>

#include "core/head_check.hpp"
#include "head_grammar.hpp"
#include "server/upstream_head.hpp"

namespace spillway {
namespace {

using fuzz::expect;

Config make_config() {
  Config config;
  Deployment& deployment = config.deployments.emplace_back();
  deployment.origin.host = "provider.test";
  deployment.headers = {{"authorization", Secret("Bearer gateway-credential")}};
  deployment.targets.fill("/v1/{model}/chat/completions");
  return config;
}

bool allowed(const std::string& name) {
  static const std::set<std::string> names = {
      "host",          "content-length", "accept-encoding",     "content-type",
      "authorization", "accept",         "openai-organization", "openai-project",
      "openai-beta",   "anthropic-beta", "anthropic-version",   "idempotency-key",
      "traceparent",   "tracestate",     "user-agent"};
  return names.contains(name) || name.starts_with("x-stainless-");
}

void check(const server::ClientRequest& request, std::string_view model) {
  static const Config config = make_config();
  static const server::PreparedHeads prepared(config);
  const std::string head =
      server::upstream_head(prepared, config, DeploymentIndex{0}, Endpoint::chat_completions, model,
                            request, 12, nullptr);
  const auto names = fuzz::field_names(head);
  for (const std::string& name : names) expect(allowed(name), "only what the allow-list names");
  for (const char* once : {"host", "content-length", "authorization", "content-type"})
    expect(std::ranges::count(names, once) == 1, "what the gateway says is said once");
  expect(head.find("Bearer gateway-credential\r\n") != std::string::npos, "with its credential");

  RequestHeadCheck check(HeadLimits{1 << 20, 1 << 10});
  const auto state = check.feed(head);
  if (model.size() < 2048)  // a provider may find a target too long
    expect(state == RequestHeadCheck::State::complete && check.head_bytes() == head.size() &&
               check.content_length() == 12 && check.framing() == BodyFraming::length,
           "a head as we would accept it");
}

}  // namespace
}  // namespace spillway

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace spillway;
  const std::string_view text = fuzz::as_text(data, size);
  server::ClientRequest request;
  RequestHeadCheck check(HeadLimits{1 << 20, 1 << 9}, &request.fields);
  if (check.feed(text) != RequestHeadCheck::State::complete) return 0;
  request.headers = request.fields;
  spillway::check(request, check.target());
  // A model's name may hold anything that JSON can spell.
  spillway::check(request, text.substr(check.head_bytes()));
  return 0;
}
