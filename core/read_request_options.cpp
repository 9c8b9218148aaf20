#include "core/read_request_options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <utility>

#include "core/ascii.hpp"
#include "core/body_error.hpp"
#include "core/bounds.hpp"
#include "core/json_scan.hpp"

namespace spillway {

namespace {

// Each would replace the gateway's configuration, credentials included, for one request.
constexpr std::array<std::string_view, 2> kConfigurations{"router_settings_override",
                                                          "user_config"};

using Mistake = std::optional<BodyError>;

template <typename Number>
std::optional<Number> parse(std::string_view text) {
  Number value{};
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (status != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// False for nearly every request: nothing in it speaks to the gateway.
bool may_have_options(const BodyView& view, Headers headers) {
  static constexpr std::string_view kPrefix = "x-litellm-";
  const auto ours = [](const HeaderView& header) {
    return header.name.size() > kPrefix.size() &&
           ascii::equal_folded(header.name.data(), kPrefix.data(), kPrefix.size());
  };
  return view.for_gateway || view.find("metadata") != nullptr || std::ranges::any_of(headers, ours);
}

class OptionsReader {
 public:
  OptionsReader(const Config& config, std::string_view body, const BodyView& view, Headers headers)
      : config_(config), body_(body), view_(view), headers_(headers) {}

  std::expected<RequestOptions, BodyError> read() {
    for (const std::string_view key : kConfigurations) {
      if (member(key) != nullptr)
        fail(key, "is not taken from a request: what the gateway is configured with counts",
             "unsupported_parameter");
    }
    read_flag("disable_fallbacks", options_.disable_fallbacks);
    read_retries();
    read_time("timeout", "x-litellm-timeout", options_.timeout);
    if (!options_.timeout) read_time("request_timeout", "", options_.timeout);
    read_time("stream_timeout", "x-litellm-stream-timeout", options_.stream_timeout);
    check_text("litellm_session_id");
    check_text("litellm_trace_id");
    read_tags();
    read_fallbacks("fallbacks", options_.fallbacks);
    read_fallbacks("context_window_fallbacks", options_.context_window_fallbacks);
    read_fallbacks("content_policy_fallbacks", options_.content_policy_fallbacks);
    if (mistake_) return std::unexpected(*std::move(mistake_));
    return std::move(options_);
  }

 private:
  // The first mistake is the one that is told.
  void fail(std::string_view param, std::string_view what,
            std::string_view code = "invalid_value") {
    if (mistake_) return;
    mistake_ =
        BodyError{fmt::format("'{}' {}.", param, what), std::string(param), std::string(code)};
  }
  void wrong_type(std::string_view param, std::string_view wanted, JsonType got) {
    if (!mistake_) mistake_ = body_error::wrong_type(param, wanted, got);
  }

  // The member, unless it is absent or null.
  const BodyMember* member(std::string_view key) const {
    const BodyMember* found = view_.find(key);
    return found == nullptr || found->type == JsonType::null ? nullptr : found;
  }
  // The header of the name, unless the body says the same thing.
  std::optional<std::string_view> header(std::string_view key, std::string_view name) const {
    if (name.empty() || member(key) != nullptr) return std::nullopt;
    const auto value = find_header(headers_, name);
    return value ? std::optional(trimmed(*value)) : std::nullopt;
  }
  std::string_view value_of(const BodyMember& member) const {
    return body_.substr(member.value_begin, member.value_end - member.value_begin);
  }

  void read_flag(std::string_view key, bool& target) {
    const BodyMember* found = member(key);
    if (found == nullptr) return;
    if (found->type != JsonType::boolean) return wrong_type(key, "a boolean", found->type);
    target = value_of(*found) == "true";
  }

  // Read by whoever needs it (core/affinity.hpp).
  void check_text(std::string_view key) {
    const BodyMember* found = member(key);
    if (found != nullptr && found->type != JsonType::string)
      wrong_type(key, "a string", found->type);
  }

  void read_retries() {
    constexpr std::string_view kKey = "num_retries";
    constexpr std::string_view kHeader = "x-litellm-num-retries";
    const BodyMember* found = member(kKey);
    const auto field = header(kKey, kHeader);
    if (found == nullptr && !field) return;
    const std::string_view param = found == nullptr ? kHeader : kKey;
    if (found != nullptr && found->type != JsonType::number)
      return wrong_type(param, "an integer", found->type);
    const auto count = parse<unsigned>(found == nullptr ? *field : value_of(*found));
    if (!count || *count > bounds::kRequestRetries)
      return fail(param, fmt::format("must be an integer from 0 to {}", bounds::kRequestRetries));
    options_.num_retries = *count;
  }

  // Seconds, as everywhere in LiteLLM.
  void read_time(std::string_view key, std::string_view name, std::optional<Duration>& target) {
    const BodyMember* found = member(key);
    const auto field = header(key, name);
    if (found == nullptr && !field) return;
    const std::string_view param = found == nullptr ? name : key;
    if (found != nullptr && found->type != JsonType::number)
      return wrong_type(param, "a number of seconds", found->type);
    const auto count = parse<double>(found == nullptr ? *field : value_of(*found));
    const auto most = std::chrono::duration<double>(bounds::kRequestTimeout).count();
    if (!count || !std::isfinite(*count) || *count <= 0 || *count > most)
      return fail(param, fmt::format("must be a number of seconds above 0 and up to {}", most));
    const auto exact = std::chrono::duration<double>(*count);
    target = std::max(std::chrono::duration_cast<Duration>(exact), Duration(milliseconds(1)));
  }

  // --- tags ---

  void read_tags() {
    if (const BodyMember* found = member("tags")) {
      if (found->type != JsonType::array)
        wrong_type("tags", "an array of strings", found->type);
      else
        read_tag_list("tags", value_of(*found));
    }
    if (const BodyMember* metadata = member("metadata");
        metadata != nullptr && metadata->type == JsonType::object)
      read_metadata(value_of(*metadata));
    if (const auto field = find_header(headers_, "x-litellm-tags")) read_tag_header(*field);
    std::ranges::sort(options_.tags);
    const auto repeated = std::ranges::unique(options_.tags);
    options_.tags.erase(repeated.begin(), repeated.end());
  }

  // `metadata` is the provider's as well and stays in the body: only a list of tags in it is ours.
  void read_metadata(std::string_view json) {
    JsonCursor cursor(json);
    JsonString key;
    cursor.enter_object();
    while (cursor.next_member(key)) {
      const std::size_t begin = cursor.offset();
      const bool tags = key.is("tags") && cursor.peek() == JsonType::array;
      cursor.skip();
      if (tags) read_tag_list("metadata.tags", cursor.since(begin));
    }
  }

  void read_tag_list(std::string_view param, std::string_view json) {
    JsonCursor cursor(json);
    JsonString text;
    cursor.enter_array();
    while (cursor.next_element()) {
      const JsonType type = cursor.peek().value_or(JsonType::null);
      if (!cursor.read_string(text)) return wrong_type(param, "an array of strings only", type);
      if (!add_tag(param, text.unescaped())) return;
    }
  }

  void read_tag_header(std::string_view list) {
    while (!list.empty()) {
      const std::size_t comma = std::min(list.find(','), list.size());
      const std::string_view tag = trimmed(list.substr(0, comma));
      if (!tag.empty() && !add_tag("x-litellm-tags", std::string(tag))) return;
      list.remove_prefix(std::min(comma + 1, list.size()));
    }
  }

  bool add_tag(std::string_view param, std::string tag) {
    if (options_.tags.size() >= bounds::kRequestTags || tag.size() > bounds::kTagBytes) {
      fail(param, fmt::format("may hold at most {} tags of at most {} bytes", bounds::kRequestTags,
                              bounds::kTagBytes));
      return false;
    }
    options_.tags.push_back(std::move(tag));
    return true;
  }

  // --- fallbacks: ["a", {"model": "b"}, {"group": ["c"]}] ---

  void read_fallbacks(std::string_view param, std::optional<FallbackRules>& target) {
    const BodyMember* found = member(param);
    if (found == nullptr) return;
    if (found->type != JsonType::array)
      return wrong_type(param, "an array of model names", found->type);
    target.emplace();
    JsonCursor cursor(value_of(*found));
    cursor.enter_array();
    while (!mistake_ && cursor.next_element()) read_item(param, cursor, *target);
  }

  void read_item(std::string_view param, JsonCursor& cursor, FallbackRules& rules) {
    JsonString text;
    if (cursor.read_string(text))
      return add_target(param, text.unescaped(), for_every_model(rules));
    if (cursor.peek() != JsonType::object) return bad_item(param);
    JsonString key;
    cursor.enter_object();
    bool first = true;
    while (cursor.next_member(key)) {
      if (!std::exchange(first, false)) return bad_item(param);
      const std::string name = key.unescaped();
      if (cursor.read_string(text)) {
        if (name != "model") return bad_item(param);
        add_target(param, text.unescaped(), for_every_model(rules));
      } else if (cursor.enter_array()) {
        read_rule(param, name, cursor, rules);
      } else {
        return bad_item(param);
      }
      if (mistake_) return;
    }
    if (first) bad_item(param);
  }

  // The cursor is inside the list of what `name` falls back to.
  void read_rule(std::string_view param, const std::string& name, JsonCursor& cursor,
                 FallbackRules& rules) {
    FallbackRule rule;
    if (name != "*") {
      rule.of = model(param, name);
      if (!rule.of) return;
    }
    JsonString text;
    while (cursor.next_element()) {
      if (!cursor.read_string(text)) return bad_item(param);
      add_target(param, text.unescaped(), rule);
      if (mistake_) return;
    }
    rules.push_back(std::move(rule));
  }

  // Plain names are one list, whatever stands between them.
  static FallbackRule& for_every_model(FallbackRules& rules) {
    const auto found =
        std::ranges::find_if(rules, [](const FallbackRule& rule) { return !rule.of; });
    return found == rules.end() ? rules.emplace_back() : *found;
  }

  void bad_item(std::string_view param) {
    fail(param,
         "must hold model names or objects such as {\"model\": [\"other\"]}; a fallback cannot "
         "bring parameters of its own",
         "invalid_type");
  }

  void add_target(std::string_view param, const std::string& name, FallbackRule& rule) {
    if (++targets_ > bounds::kRequestFallbacks)
      return fail(param, fmt::format("names more than {} models", bounds::kRequestFallbacks));
    if (auto match = model(param, name)) rule.targets.push_back(std::move(*match));
  }

  std::optional<ModelMatch> model(std::string_view param, const std::string& name) {
    auto match = find_model(config_, name);
    if (!match)
      fail(param,
           fmt::format("names the model {}, which is not configured here",
                       quote(std::string_view(name).substr(0, bounds::kModelNameBytes))),
           "model_not_found");
    return match;
  }

  const Config& config_;
  std::string_view body_;
  const BodyView& view_;
  Headers headers_;
  RequestOptions options_;
  Mistake mistake_;
  std::size_t targets_ = 0;
};

}  // namespace

std::expected<RequestOptions, BodyError> read_request_options(const Config& config,
                                                              std::string_view body,
                                                              const BodyView& view,
                                                              Headers headers) {
  if (!may_have_options(view, headers)) return RequestOptions();
  return OptionsReader(config, body, view, headers).read();
}

}  // namespace spillway
