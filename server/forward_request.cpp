#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/affinity.hpp"
#include "core/continuation.hpp"
#include "core/input_size.hpp"
#include "core/read_request_options.hpp"
#include "server/forward.hpp"
#include "server/worker.hpp"

// What a request asks for, and what is refused before anybody is asked.
namespace spillway::server {

bool Forward::is_refused() {
  RequestTraits about;
  auto refused = read_request(about);
  if (!refused) refused = refuse_before_routing(about);
  if (refused)
    leave_unwritten(std::move(*refused));
  else
    loop_.emplace(config_, fleet_, *match_, std::move(about), worker_.now());
  return unwritten_ != nullptr;
}

std::optional<Answer> Forward::read_request(RequestTraits& about) {
  const auto mistaken = [](BodyError& error) {
    return refusal(400, error.code, error.param, std::move(error.message));
  };
  auto view = view_body(request_.body, endpoint_, config_.read_keys);
  if (!view) return mistaken(view.error());
  body_ = std::move(*view);
  auto options = read_request_options(config_, request_.body, *body_, request_.headers);
  if (!options) return mistaken(options.error());
  about.endpoint = endpoint_;
  about.streaming = body_->stream;
  about.options = std::move(*options);
  about.tokens = expected_tokens(request_bytes_);
  if (config_.router.pre_call_checks)
    about.least_input_tokens = least_input_tokens(request_.body, *body_);
  about.affinity = affinity_of(config_.router.affinity, request_.body, *body_, request_.headers,
                               request_.key_name);
  continuable_ = config_.stream_recovery && may_be_continued(endpoint_, request_.body, *body_);
  match_ = find_model(config_, body_->model);
  // As in LiteLLM, a name that nobody knows goes where everything else goes at last.
  if (!match_ && !config_.default_fallbacks.empty()) match_ = config_.default_fallbacks.front();
  return std::nullopt;
}

std::optional<Answer> Forward::refuse_before_routing(const RequestTraits& about) const {
  if (!match_)
    return refusal(404, "model_not_found", "model",
                   fmt::format("The model '{}' is not configured here. GET /v1/models lists those "
                               "that are.",
                               body_->model));
  const ModelGroup& group = config_.at(match_->group);
  const bool has_fallback = !group.fallbacks.empty() || about.options.fallbacks;
  if (group.deployments.empty() && !has_fallback) {
    std::string reasons;
    for (const DeploymentIndex index : group.left_out)
      reasons += fmt::format(" {}: {}.", config_.at(index).id, config_.at(index).unusable);
    return refusal(503, "", "model",
                   fmt::format("The model '{}' has no usable deployment.{}", group.name, reasons));
  }
  const auto offers = [&](DeploymentIndex index) {
    return !config_.at(index).targets[static_cast<std::size_t>(endpoint_)].empty();
  };
  if (!group.deployments.empty() && !has_fallback &&
      std::ranges::none_of(group.deployments, offers))
    return refusal(404, "", "model",
                   fmt::format("No deployment of the model '{}' offers {}.", group.name,
                               traits(endpoint_).path));
  return std::nullopt;
}

}  // namespace spillway::server
