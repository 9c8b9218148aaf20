#include "config/deployment_entry.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "config/litellm_keys.hpp"
#include "config/routing_strategy.hpp"
#include "config/suggest.hpp"
#include "config/upstream.hpp"
#include "config/upstream_headers.hpp"
#include "core/bounds.hpp"
#include "core/fnv.hpp"

namespace spillway::config {

namespace {

constexpr Range<std::uint64_t> kRates{0, 1'000'000'000'000};
constexpr Range<std::uint64_t> kTokens{1, 1'000'000'000'000};
constexpr Range<double> kWeights{0, 1e12};
constexpr std::size_t kIdBytes = 256;  // it is a response header

bool printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) >= 0x20 && c != 0x7F; });
}

class EntryReader {
 public:
  EntryReader(const Node& node, const Registry& registry, const RouterDefaults& defaults,
              Context& context)
      : node_(node),
        registry_(registry),
        defaults_(defaults),
        context_(context),
        entry_(&node, context),
        own_params_(entry_.map("litellm_params")),
        completed_(completed(own_params_, defaults)),
        params_node_(completed_ ? &*completed_ : own_params_),
        params_(params_node_, context, OnMissing::collect),
        info_(entry_.map("model_info"), context) {}

  std::vector<Draft> read() {
    const auto group = entry_.text("model_name");
    const auto model = params_.text("model");
    if (!named(group, "model_name", node_)) return {};
    if (params_node_ == nullptr) {
      if (!entry_.has("litellm_params")) context_.fault(node_, "litellm_params is missing");
      return {};
    }
    if (params_.missing().empty() && !named(model, "model", *params_node_)) return {};
    draft_.group = *group;
    draft_.configured = model.value_or("");
    draft_.place = params_.get("model")->place;
    Deployment& deployment = draft_.deployment;
    read_capacity();
    read_limits();
    read_info();
    resolve();
    if (!deployment.usable()) {
      context_.warn(*params_.get("model"), "left out: " + deployment.unusable);
    }
    entry_.finish();
    return one_for_each_organization();
  }

 private:
  // The entry's parameters and whatever of the defaults it does not say.
  static std::optional<Node> completed(const Node* own, const RouterDefaults& defaults) {
    if (own == nullptr || defaults.default_litellm_params == nullptr) return std::nullopt;
    Node out = *own;
    for (const Member& member : defaults.default_litellm_params->members) {
      if (out.find(member.key) == nullptr) out.members.push_back(member);
    }
    return out;
  }

  // True if the text is a name that can be matched and logged.
  bool named(const std::optional<std::string>& text, std::string_view key, const Node& parent) {
    Section& section = key == "model" ? params_ : entry_;
    if (!text) {
      if (section.get(key) == nullptr) context_.fault(parent, fmt::format("{} is missing", key));
      return false;
    }
    if (!text->empty() && text->size() <= bounds::kModelNameBytes && printable(*text)) return true;
    context_.fault(*section.get(key),
                   fmt::format("must be a text of 1 to {} bytes without control characters",
                               bounds::kModelNameBytes));
    return false;
  }

  void read_capacity() {
    Deployment& deployment = draft_.deployment;
    // LiteLLM takes both at the entry's level as well.
    const auto outer_rpm = entry_.count("rpm", kRates);
    const auto outer_tpm = entry_.count("tpm", kRates);
    deployment.rpm = params_.count("rpm", kRates);
    deployment.tpm = params_.count("tpm", kRates);
    if (!deployment.rpm) deployment.rpm = outer_rpm;
    if (!deployment.tpm) deployment.tpm = outer_tpm;
    draft_.weight = params_.number("weight", kWeights);
    if (const auto order = params_.count("order", {0, 1'000'000})) {
      deployment.order = static_cast<int>(*order);
    }
    deployment.cost_per_token = read_cost_per_token(params_, info_);
    deployment.max_parallel_requests = defaults_.max_parallel_requests;
    if (const auto most = params_.count("max_parallel_requests", kParallel)) {
      deployment.max_parallel_requests = static_cast<unsigned>(*most);
    }
    deployment.tags = params_.texts("tags").value_or(std::vector<std::string>{});
  }

  void read_limits() {
    Deployment& deployment = draft_.deployment;
    deployment.timeout = params_.time("timeout", kPositiveTimes);
    const auto request_timeout = params_.time("request_timeout", kPositiveTimes);
    if (!deployment.timeout) deployment.timeout = request_timeout;
    deployment.stream_timeout = params_.time("stream_timeout", kPositiveTimes);
    if (const auto retries = params_.count("num_retries", kRetries)) {
      deployment.num_retries = static_cast<unsigned>(*retries);
    }
    deployment.cooldown = defaults_.cooldown;
    read_deployment_cooldown_rules(params_, context_, deployment.cooldown);
  }

  void read_info() {
    Deployment& deployment = draft_.deployment;
    if (const auto id = info_.text("id")) {
      if (id->empty() || id->size() > kIdBytes || !printable(*id)) {
        context_.fault(*info_.get("id"), "must be a short printable text");
      }
      deployment.id = *id;
      draft_.named = true;
    }
    deployment.max_input_tokens = info_.count("max_input_tokens", kTokens);
    read_deployment_cooldown_rules(info_, context_, deployment.cooldown);
    prefill_ = info_.boolean("assistant_prefill");
    info_.unsupported(unsupported_model_info());
    info_.ignore(informational_model_info());
    for (const Member* member : info_.rest()) {
      // LiteLLM lets operators keep notes of their own here, so an unknown key is no fault.
      const std::string_view near = nearest(member->key, info_.known(), 2);
      if (near.empty() || is_price(member->key) || member->key.starts_with("supports_")) continue;
      context_.report.warn(
          member->place, member->value.path,
          fmt::format("is not known and has no effect; did you mean \"{}\"?", near));
    }
  }

  void resolve() {
    Deployment& deployment = draft_.deployment;
    const Address address = read_address(params_);
    const ModelSpec spec{.model = draft_.configured,
                         .provider = params_.text("custom_llm_provider"),
                         .api_base = address.api_base};
    const ProviderChoice choice = choose_provider(spec, registry_);
    deployment.model = choice.model;
    if (!choice.doubt.empty())
      context_.warn(*params_.get(spec.provider ? "custom_llm_provider" : "model"), choice.doubt);
    deployment.origin.ca_file = defaults_.ca_file;
    read_ssl_verify(params_, context_, deployment.origin.ca_file);
    organizations_ = params_.texts("organization").value_or(std::vector<std::string>{});
    if (choice.provider == nullptr || !choice.provider->left_out.empty()) {
      deployment.provider = choice.provider != nullptr ? choice.provider->slug : prefix();
      deployment.unusable =
          choice.provider != nullptr ? choice.provider->left_out : choice.unusable;
      if (!params_.missing().empty()) deployment.unusable = params_.missing() + " is not set";
      return;
    }
    deployment.provider = choice.provider->slug;
    Upstream upstream = resolve_upstream(choice, address, params_, *params_node_, context_);
    const std::string ca_file = deployment.origin.ca_file;
    deployment.origin = upstream.origin;
    deployment.origin.ca_file = ca_file;
    deployment.targets = upstream.targets;
    deployment.headers = std::move(upstream.headers);
    deployment.body = read_body_rules(params_, *choice.provider, defaults_.drop_params, context_);
    deployment.assistant_prefill = prefill_.value_or(choice.provider->assistant_prefill);
    deployment.unusable =
        params_.missing().empty() ? upstream.unusable : params_.missing() + " is not set";
    check_model();
  }

  std::string prefix() const {
    const std::size_t slash = draft_.configured.find('/');
    return slash == std::string::npos ? "unknown" : draft_.configured.substr(0, slash);
  }

  void check_model() {
    const auto stars = [](std::string_view text) {
      return std::count(text.begin(), text.end(), '*');
    };
    Deployment& deployment = draft_.deployment;
    if (!deployment.usable()) return;
    if (deployment.model.empty()) {
      deployment.unusable = "no model is named after the provider";
    } else if (stars(deployment.model) > stars(draft_.group)) {
      deployment.unusable = "its model holds more '*' than its model_name";
    }
  }

  std::vector<Draft> one_for_each_organization() {
    const std::string identity = draft_.group + '\n' + canonical(*own_params_);
    std::vector<Draft> out;
    if (organizations_.empty()) organizations_.push_back("");
    for (const std::string& organization : organizations_) {
      Draft draft = draft_;
      const bool several = organizations_.size() > 1;
      if (!draft.named) {
        draft.deployment.id = short_hash(several ? identity + '\n' + organization : identity);
      } else if (several) {
        draft.deployment.id += ":" + organization;
      }
      if (!organization.empty()) add_organization(draft.deployment, organization);
      out.push_back(std::move(draft));
    }
    return out;
  }

  void add_organization(Deployment& deployment, const std::string& organization) {
    if (const std::string wrong = header_fault("openai-organization", organization);
        !wrong.empty()) {
      return context_.fault(*params_.get("organization"), wrong);
    }
    set_header(deployment.headers, "openai-organization", organization);
  }

  const Node& node_;
  const Registry& registry_;
  const RouterDefaults& defaults_;
  Context& context_;
  Section entry_;
  const Node* own_params_;         // as written, which is what the id is made of
  std::optional<Node> completed_;  // with default_litellm_params, if there are any
  const Node* params_node_;
  Section params_;
  Section info_;
  Draft draft_;
  std::optional<bool> prefill_;
  std::vector<std::string> organizations_;
};

}  // namespace

std::string short_hash(std::string_view text) {
  return fmt::format("{:016x}", fnv::hash(text));
}

std::vector<Draft> read_model_entry(const Node& node, const Registry& registry,
                                    const RouterDefaults& defaults, Context& context) {
  if (node.kind != NodeKind::map) {
    context.fault(node, fmt::format("must be a map with model_name and litellm_params, not {}",
                                    kind_name(node)));
    return {};
  }
  return EntryReader(node, registry, defaults, context).read();
}

}  // namespace spillway::config
