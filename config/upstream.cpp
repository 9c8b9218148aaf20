#include "config/upstream.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "config/base_url.hpp"
#include "config/upstream_headers.hpp"

namespace spillway::config {

namespace {

std::string trimmed(std::string text) {
  constexpr std::string_view kSpace = " \t\r\n";
  text.erase(text.find_last_not_of(kSpace) + 1);
  text.erase(0, std::min(text.find_first_not_of(kSpace), text.size()));
  return text;
}

bool take_suffix(std::string& text, std::string_view suffix) {
  if (!text.ends_with(suffix)) return false;
  text.resize(text.size() - suffix.size());
  return true;
}

// The values of base_url's placeholders, or the first one without a value.
std::expected<std::string, std::string> filled_base_url(const Provider& provider, Section* params,
                                                        const Variables& variables) {
  std::string url = provider.base_url;
  for (const auto& [name, names] : provider.base_url_params) {
    std::optional<std::string> value = params == nullptr ? std::nullopt : params->text(name);
    if (!value) value = first_variable(variables, names);
    if (!value)
      return std::unexpected(fmt::format("{} is not set", names.empty() ? name : names.front()));
    const std::string placeholder = "{" + name + "}";
    if (const std::size_t at = url.find(placeholder); at != std::string::npos) {
      url.replace(at, placeholder.size(), *value);
    }
  }
  return url;
}

class Resolver {
 public:
  Resolver(const ProviderChoice& choice, const Address& address, Section& params, const Node& node,
           Context& context)
      : provider_(*choice.provider),
        choice_(choice),
        address_(address),
        params_(params),
        node_(node),
        context_(context) {
    if (!choice.inferred) {
      environment_base_ = first_variable(context.variables, provider_.api_base_env);
    }
    given_ = address.api_base || environment_base_;
  }

  // A missing key is the first thing that an operator wants to hear of.
  Upstream resolve() {
    resolve_key();
    resolve_base();
    add_headers();
    return std::move(out_);
  }

 private:
  void leave_out(std::string reason) {
    if (out_.unusable.empty()) out_.unusable = std::move(reason);
  }

  // Of what first_variable() has found.
  std::string source_of(const std::vector<std::string>& names) const {
    const auto found = std::ranges::find_if(names, [this](const std::string& name) {
      return context_.variables.find(name).has_value();
    });
    return context_.variables.source(found == names.end() ? names.back() : *found);
  }

  const Node& at(std::string_view key) {
    const Node* found = params_.get(key);
    return found == nullptr ? node_ : *found;
  }

  void resolve_base() {
    const std::optional<std::string> text = base_text();
    if (!text) return;
    auto base = parse_base_url(*text);
    if (!base) {
      report_base(base.error());
      return leave_out("its address is not a URL");
    }
    if (given_ && base->path.empty()) base->path = provider_.api_base_path;
    out_.origin = base->origin;
    provider_.url_style == UrlStyle::azure ? set_azure_targets(base->path)
                                           : set_targets(base->path);
  }

  // The deployment's own address, else the environment's, else the provider's.
  std::optional<std::string> base_text() {
    if (address_.api_base) return address_.api_base;
    if (environment_base_) return trimmed(*environment_base_);
    auto filled = filled_base_url(provider_, &params_, context_.variables);
    if (filled && !filled->empty()) return *filled;
    leave_out(filled ? no_base() : filled.error());
    return std::nullopt;
  }

  void report_base(const std::string& wrong) {
    if (address_.api_base) {
      return context_.fault_of_value(
          params_.get("api_base") != nullptr ? at("api_base") : at("base_url"), wrong);
    }
    const std::string where = environment_base_ ? source_of(provider_.api_base_env)
                                                : fmt::format("the base_url of {}", provider_.slug);
    context_.fault(node_, fmt::format("{} {}", where, wrong));
  }

  std::string no_base() const {
    return provider_.api_base_env.empty() ? "api_base is not set"
                                          : fmt::format("neither api_base nor {} is set",
                                                        fmt::join(provider_.api_base_env, " or "));
  }

  void set_targets(const std::string& path) {
    for (const EndpointTraits& traits : kEndpoints)
      set_target(traits, path + std::string(traits.path));
  }

  void set_target(const EndpointTraits& traits, std::string target) {
    const auto index = static_cast<std::size_t>(traits.endpoint);
    if (provider_.endpoints[index]) out_.targets[index] = std::move(target);
  }

  // Azure has two forms: /openai/v1 for everything, and one URL for each deployment with a dated
  // api-version.
  void set_azure_targets(std::string path) {
    const bool v1_written = take_suffix(path, "/openai/v1");
    if (!v1_written && !take_suffix(path, "/openai")) take_suffix(path, "/models");
    std::string version = address_.api_version.value_or(
        first_variable(context_.variables, provider_.api_version_env).value_or(""));
    const bool clean = std::all_of(version.begin(), version.end(), [](char c) {
      return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
             c == '-' || c == '.';
    });
    if (!clean) {
      context_.fault_of_value(at("api_version"), "must be a version such as 2024-10-21");
      return leave_out("its api_version is not a version");
    }
    const bool named = path.find("/openai/deployments/") != std::string::npos;
    const bool v1 = v1_written || version.empty() || version == "v1" || version == "latest" ||
                    version == "preview";
    const std::string query =
        version.empty() || (v1 && version != "preview") ? "" : "?api-version=" + version;
    for (const EndpointTraits& traits : kEndpoints) {
      std::string base = path + "/openai/deployments/{model}";
      if (v1) base = path + "/openai/v1";
      if (!v1 && traits.endpoint == Endpoint::responses) base = path + "/openai";
      if (named) base = path;
      set_target(traits, base + std::string(traits.path) + query);
    }
  }

  void resolve_key() {
    key_ = trimmed(address_.api_key.value_or(""));
    const bool own = !key_.empty();
    if (!own && !choice_.inferred) {
      key_ = trimmed(first_variable(context_.variables, provider_.api_key_env).value_or(""));
    }
    if (!key_.empty()) {
      if (!header_fault("authorization", key_).empty()) {
        leave_out("its API key holds characters that a header cannot carry" +
                  (own ? told_source(at("api_key").text, context_.variables)
                       : "; the value comes from " + source_of(provider_.api_key_env)));
        key_.clear();
      }
      return;
    }
    // Servers of one's own often want no key; a provider's own address always does.
    const bool own_server = provider_.slug == "openai" && given_;
    if (!provider_.api_key_required || own_server || choice_.inferred) return;
    leave_out(fmt::format("{} is not set{}{}", fmt::join(provider_.api_key_env, " or "),
                          provider_.note.empty() ? "" : ": ", provider_.note));
  }

  void add_headers() {
    if (!key_.empty() && provider_.auth == Auth::bearer) {
      set_header(out_.headers, "authorization", "Bearer " + key_);
    }
    constexpr std::string_view kPlaceholder = "{api_key}";
    for (const auto& [name, pattern] : provider_.headers) {
      std::string value = pattern;
      if (const std::size_t where = value.find(kPlaceholder); where != std::string::npos) {
        if (key_.empty()) continue;
        value.replace(where, kPlaceholder.size(), key_);
      }
      set_header(out_.headers, name, std::move(value));
    }
    add_configured_headers("headers");
    add_configured_headers("extra_headers");
  }

  void add_configured_headers(std::string_view key) {
    const Node* map = params_.map(key);
    if (map == nullptr) return;
    for (const Member& member : map->members) {
      if (member.value.kind != NodeKind::scalar) {
        context_.fault(member.value,
                       fmt::format("must be a text, not {}", kind_name(member.value)));
        continue;
      }
      const auto value = params_.resolve(member.value);
      if (!value) continue;
      if (const std::string wrong = header_fault(member.key, *value); !wrong.empty()) {
        context_.fault_of_value(member.value, wrong);
        continue;
      }
      if (const std::string why = header_left_out(member.key); !why.empty()) {
        context_.warn(member.value, why);
        continue;
      }
      set_header(out_.headers, member.key, *value);
    }
  }

  const Provider& provider_;
  const ProviderChoice& choice_;
  const Address& address_;
  Section& params_;
  const Node& node_;
  Context& context_;
  Upstream out_;
  std::string key_;
  std::optional<std::string> environment_base_;
  bool given_ = false;  // the address is the operator's, not the provider's own
};

}  // namespace

Address read_address(Section& params) {
  Address address;
  address.api_base = params.text("api_base");
  const auto base_url = params.text("base_url");  // the OpenAI SDK's name for it
  if (!address.api_base) address.api_base = base_url;
  if (address.api_base) address.api_base = trimmed(*address.api_base);
  if (address.api_base == "") address.api_base.reset();
  address.api_key = params.text("api_key");
  address.api_version = params.text("api_version");
  return address;
}

Upstream resolve_upstream(const ProviderChoice& choice, const Address& address, Section& params,
                          const Node& node, Context& context) {
  return Resolver(choice, address, params, node, context).resolve();
}

bool ready_from_environment(const Provider& provider, const Variables& variables) {
  if (!provider.left_out.empty()) return false;
  const bool key = first_variable(variables, provider.api_key_env).has_value();
  const bool base = first_variable(variables, provider.api_base_env).has_value();
  if (provider.api_key_required) {
    const auto url = filled_base_url(provider, nullptr, variables);
    return key && (base || (url && !url->empty()));
  }
  // Servers that want no key are offered only where the environment says where they are.
  return base || (key && !provider.base_url.empty() && provider.base_url_params.empty());
}

}  // namespace spillway::config
